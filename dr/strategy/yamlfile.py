"""YAML that people write: plain values, and for every one of them the line it stands on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from dr.errors import CONFIGURATION, DrError

Step = str | int
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_BYTES = 1 << 20
"""Nobody writes a larger one by hand."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One document. `data` holds str, int, float, bool, None, and lists and mappings of them."""

    name: str
    """As error messages call it."""
    data: object
    root: yaml.Node

    def line(self, steps: Sequence[Step]) -> int:
        """Line of the value at `steps`, or of the nearest thing around it that exists."""
        node = self.root
        line = node.start_mark.line + 1
        for step in steps:
            found = _child(node, step)
            if found is None:
                break
            node, line = found
        return line

    def fault(self, steps: Sequence[Step], message: str, *, others: int = 0) -> DrError:
        """`strategy.yaml:14: objectives[1].rpo: <message>` as an error of configuration."""
        more = f" (and {others} more)" if others else ""
        where = f"{dotted(steps)}: " if steps else ""
        return DrError(CONFIGURATION, f"{self.name}:{self.line(steps)}: {where}{message}{more}")


def read_yaml(name: str, content: bytes) -> YamlFile:
    """Parse one document. Raises DrError CONFIGURATION naming file and line: bad syntax, a key twice, no document or two."""
    if len(content) > MAX_BYTES:
        raise DrError(CONFIGURATION, f"{name}: {len(content):,} bytes are too many for a file of settings")
    loader = _Loader(_decoded(name, content))
    try:
        node = loader.get_single_node()
        if node is None:
            raise DrError(CONFIGURATION, f"{name}:1: the file is empty")
        _refuse_oddities(name, node)
        return YamlFile(name, loader.construct_document(node), node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DrError(
            CONFIGURATION, f"{name}:{mark.line + 1 if mark else 1}: {error.problem or error.context}"
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        raise DrError(CONFIGURATION, f"{name}: not readable as YAML: {str(error).splitlines()[0]}") from None
    finally:
        loader.dispose()


def read_yaml_path(path: Path) -> tuple[YamlFile, bytes]:
    """As `read_yaml`, from a file; also its bytes. Raises DrError CONFIGURATION when it cannot be read."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DrError(CONFIGURATION, f"{path}: cannot be read: {error.strerror or error}") from None
    return read_yaml(str(path), content), content


def dotted(steps: Sequence[Step]) -> str:
    """`objectives[1].rpo`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".")


def _decoded(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DrError(CONFIGURATION, f"{name}:{line}: not UTF-8 text") from None


def _child(node: yaml.Node, step: Step) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value, key.start_mark.line + 1
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step].start_mark.line + 1
    return None


def _refuse_oddities(name: str, root: yaml.Node) -> None:
    """A key written twice (YAML would silently take the last) and aliases (a small file could become a huge one)."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            raise _fault(name, node, "anchors and aliases are not accepted here")
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            _refuse_double_keys(name, node)
            waiting += [value for _, value in node.value]


def _refuse_double_keys(name: str, node: yaml.MappingNode) -> None:
    keys: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _fault(name, key, "a key must be plain text")
        if key.value in keys:
            raise _fault(name, key, f"{key.value!r} is written twice, first on line {keys[key.value]}")
        keys[key.value] = key.start_mark.line + 1


def _fault(name: str, node: yaml.Node, message: str) -> DrError:
    return DrError(CONFIGURATION, f"{name}:{node.start_mark.line + 1}: {message}")
