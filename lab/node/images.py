"""Which local command stands for an image."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
_REFERENCE = re.compile(r"(?:[^/]*[.:][^/]*/|localhost/)?(?P<name>[^@:]+)(?::[^@]*)?(?:@.*)?")


class UnknownImage(Exception):
    """The table has no such image; the container waits as with a registry that has none."""


@dataclass(frozen=True, slots=True)
class ImageTable:
    entrypoints: Mapping[str, tuple[str, ...]]
    commands: Mapping[str, tuple[str, ...]]
    env: Mapping[str, str]

    @classmethod
    def load(cls, path: Path) -> ImageTable:
        """Reads images.yaml. Raises OSError, KeyError."""
        document = yaml.safe_load(path.read_text())
        images = {name: _words(image["entrypoint"]) for name, image in document["images"].items()}
        commands = {name: _words(words) for name, words in document.get("commands", {}).items()}
        return cls(images, commands, {name: _fill(value) for name, value in document.get("env", {}).items()})

    def argv(self, image: str, command: Sequence[str], args: Sequence[str]) -> list[str]:
        """What to execute: the container's command, else the image's entrypoint, then the arguments. Raises UnknownImage."""
        if (entrypoint := self._entrypoint(image)) is None:
            raise UnknownImage(f'image "{image}" is not in the node\'s table of images')
        first, *rest = [*(command or entrypoint), *args]
        return [*self.commands.get(first, (first,)), *rest]

    def _entrypoint(self, image: str) -> tuple[str, ...] | None:
        match = _REFERENCE.fullmatch(image)
        name = match["name"] if match else image
        while name not in self.entrypoints and "/" in name:  # a table entry stands for the name under any path
            name = name.partition("/")[2]
        return self.entrypoints.get(name)


def _words(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(_fill(word) for word in words)


def _fill(text: str) -> str:
    python = Path(sys.executable)
    return text.format(python=python, bin=python.parent, root=ROOT)
