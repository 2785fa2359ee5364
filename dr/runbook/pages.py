"""A runbook page: front matter, headings, and fenced blocks of commands.

The front matter is a YAML mapping: `title`; `covers`, a list of `row/domain`; `errors`, the codes that lead here;
`alerts`; `env`, the variables that the blocks use, each with what it means. A block is fenced as `sh` and may say more
behind it: `exit=0,6` (the exit codes that are fine; default 0), `manual` (a person does it), `id=NAME`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from dr.errors import DAMAGED, NOT_FOUND, DrError

_FENCE = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```[ \t]*$", re.M | re.S)
_HEADING = re.compile(r"^#{1,4} +(.+)$", re.M)
_MATTER = re.compile(r"\A---\n(.*?)\n---\n", re.S)


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of one fence, under the nearest heading above."""

    title: str
    command: str
    expected: tuple[int, ...] = (0,)
    manual: bool = False
    name: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """One runbook."""

    name: str
    title: str
    text: str
    """Markdown, without the front matter."""
    sha256: str
    covers: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    alerts: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Name -> what it means."""
    blocks: tuple[Block, ...] = ()

    def section(self, anchor: str) -> str:
        """The text under the heading with that anchor, with its heading. Raises DrError NOT_FOUND."""
        found = [match for match in _headings(self.text) if anchor_of(match[1]) == anchor]
        if not found:
            raise DrError(NOT_FOUND, f"runbook {self.name} has no section {anchor!r}")
        level = len(found[0][0]) - len(found[0][0].lstrip("#"))
        later = [m for m in _headings(self.text) if m.start() > found[0].start() and _level(m[0]) <= level]
        return self.text[found[0].start() : later[0].start() if later else len(self.text)].rstrip() + "\n"


def parse(name: str, content: str) -> Page:
    """Raises DrError DAMAGED naming the page."""
    import yaml

    matter = _MATTER.match(content)
    try:
        head = yaml.safe_load(matter[1]) if matter else {}
        if not isinstance(head, dict):
            raise ValueError("its front matter is no mapping")
        text = content[matter.end() :] if matter else content
        return Page(
            name=name,
            title=str(head.get("title") or _first_heading(text)),
            text=text.strip() + "\n",
            sha256=hashlib.sha256(content.encode()).hexdigest(),
            covers=_texts(head, "covers"),
            errors=_texts(head, "errors"),
            alerts=_texts(head, "alerts"),
            variables={str(key): str(value) for key, value in (head.get("env") or {}).items()},
            blocks=tuple(_blocks(text)),
        )
    except (yaml.YAMLError, ValueError, AttributeError) as error:
        raise DrError(DAMAGED, f"runbook {name} cannot be read: {str(error).splitlines()[0]}") from None


def _texts(head: Mapping[str, object], key: str) -> tuple[str, ...]:
    found = head.get(key) or []
    if not isinstance(found, list):
        raise ValueError(f"{key} is no list")
    return tuple(map(str, found))


def _first_heading(text: str) -> str:
    found = _HEADING.search(text)
    return found[1].strip() if found else ""


def _headings(text: str) -> Sequence[re.Match[str]]:
    """Those outside of fences: a comment in a shell block is none."""
    fences = [(match.start(), match.end()) for match in _FENCE.finditer(text)]
    return [m for m in _HEADING.finditer(text) if not any(start <= m.start() < end for start, end in fences)]


def _level(heading: str) -> int:
    return len(heading) - len(heading.lstrip("#"))


def _blocks(text: str) -> Iterator[Block]:
    headings = _headings(text)
    for fence in _FENCE.finditer(text):
        language, *words = fence["info"].split() or [""]
        if language == "sh":
            above = [heading[1].strip() for heading in headings if heading.start() < fence.start()]
            yield _block(above[-1] if above else "", fence["body"], words)


def _block(title: str, body: str, words: Sequence[str]) -> Block:
    said = dict(word.partition("=")[::2] for word in words)
    if unknown := said.keys() - {"exit", "manual", "id"}:
        raise ValueError(f"a block says {', '.join(sorted(unknown))}, which means nothing")
    codes = tuple(int(code) for code in (said.get("exit") or "0").split(","))
    return Block(title, body.rstrip("\n"), codes, "manual" in said, said.get("id", ""))


def anchor_of(heading: str) -> str:
    """As Markdown viewers make it: `Who to tell?` -> `who-to-tell`."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


# --- the library -----------------------------------------------------------------------------------------------------


def library() -> Mapping[str, Page]:
    """All pages by name, in name order."""
    return {path.stem: parse(path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder().glob("*.md"))}


def folder() -> Path:
    """Inside the package when it is installed, beside it in a clone."""
    inside = Path(str(resources.files("dr"))) / "runbooks"
    return inside if inside.is_dir() else Path(str(resources.files("dr"))).parent / "runbooks"


def page(name: str) -> Page:
    """By name, with or without `.md`. Raises DrError NOT_FOUND."""
    path = folder() / f"{name.removesuffix('.md')}.md"
    if "/" in name or not path.is_file():
        raise DrError(NOT_FOUND, f"there is no runbook {name!r}", hint="`dr runbook list` shows them")
    return parse(path.stem, path.read_text(encoding="utf-8"))
