"""A Dockerfile's instructions, and a stage of it built without a container engine: its commands in a mount namespace of their own,
where /srv and /opt are empty, with the files that it copies."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Instruction:
    word: str
    rest: str


def instructions(text: str) -> list[Instruction]:
    """Comments left out, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]


def stages(text: str) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[Instruction]] = []
    for one in instructions(text):
        if one.word == "FROM":
            found.append([])
        if found:
            found[-1].append(one)
    return found


def words(stage: list[Instruction], word: str) -> list[str]:
    return [one.rest for one in stage if one.word == word]


def environment(stage: list[Instruction]) -> dict[str, str]:
    """What ENV sets."""
    return dict(pair.split("=", 1) for rest in words(stage, "ENV") for pair in shlex.split(rest))


def command(stage: list[Instruction]) -> list[str]:
    """The ENTRYPOINT, which must be in exec form: there is no shell."""
    return [str(word) for word in json.loads(words(stage, "ENTRYPOINT")[-1])]


def ignored(dockerignore: str, path: str) -> bool:
    """Whether the build context lacks this path: the last rule that matches it or a folder above it decides."""
    verdict = False
    for line in dockerignore.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [path, *(str(parent) for parent in Path(path).parents if str(parent) != ".")]
        if any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(Path(name).name, pattern) for name in names):
            verdict = not line.startswith("!")
    return verdict


def script(stage: list[Instruction], context: Path) -> Iterator[str]:
    """The stage as shell lines."""
    where = "/"
    for one in stage:
        if one.word == "WORKDIR":
            where = one.rest
            yield f"mkdir -p {where}"
        elif one.word == "COPY":
            *sources, target = shlex.split(one.rest)
            yield f"cd {where} && mkdir -p {target if len(sources) > 1 or target.endswith('/') else '.'}"
            yield from (f"cp -a {shlex.quote(str(context / source))} {where}/{target}" for source in sources)
        elif one.word == "RUN":
            yield f"cd {where} && ( {one.rest} )"
