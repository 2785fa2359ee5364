"""A sealed drill as a file: the report as people and programs read it, and beside it the envelope that it must agree with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dr.model.sealed import Envelope, read_envelope
from dr.report.envelope import dumps

SEAL = "seal"
_BLOCK = re.compile(r'<template id="seal">(.*?)</template>', re.S)
_NAMES = ("step", "name", "id", "drill", "component")
"""Fields that tell one entry of a list from the others, for people."""
SHOWN = 12
"""Differences named before the rest is counted."""


@dataclass(frozen=True, slots=True)
class Seal:
    """What stands beside the readable report."""

    envelope: Envelope
    addenda: tuple[Envelope, ...] = ()

    def to_json(self) -> dict[str, object]:
        return {"envelope": self.envelope.to_json(), "addenda": [one.to_json() for one in self.addenda]}


@dataclass(frozen=True, slots=True)
class SealedFile:
    """A file taken apart. `shown` is None for a page: what it shows is compared by drawing it again."""

    seal: Seal
    shown: Mapping[str, Any] | None
    text: str


def payload_of(document: Mapping[str, object]) -> bytes:
    """What is signed: the report's JSON without blanks, its keys in their order."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sealed_json(seal: Seal) -> str:
    """The report with its seal, indented. Raises ValueError when the payload is no JSON object."""
    return dumps({**json.loads(seal.envelope.payload), SEAL: seal.to_json()}) + "\n"


def seal_block(seal: Seal) -> str:
    """For the page: JSON of nothing but base64, hexadecimal and fixed words, inside an element that is never shown."""
    return json.dumps(seal.to_json(), separators=(",", ":"))


def take_apart(content: bytes) -> SealedFile:
    """A JSON report or a page. Raises ValueError, with one sentence."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is no UTF-8") from None
    if text.lstrip().startswith("<"):
        return _page(text)
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno} is no JSON: {error.msg}") from None
    if not isinstance(body, dict) or SEAL not in body:
        raise ValueError("it holds no seal: it was not written by `dr drill report` of a sealed drill")
    return SealedFile(_seal(body.pop(SEAL)), body, text)


def _page(text: str) -> SealedFile:
    blocks = _BLOCK.findall(text)
    if len(blocks) != 1:
        raise ValueError("it holds no seal: it was not written by `dr drill report` of a sealed drill")
    try:
        return SealedFile(_seal(json.loads(blocks[0])), None, text)
    except json.JSONDecodeError as error:
        raise ValueError(f"seal: is no JSON: {error.msg}") from None


def _seal(value: object) -> Seal:
    if not isinstance(value, dict) or value.keys() != {"envelope", "addenda"} or not isinstance(value["addenda"], list):
        raise ValueError("seal: has not the fields of one")
    try:
        return Seal(read_envelope(value["envelope"]), tuple(map(read_envelope, value["addenda"])))
    except ValueError as error:
        raise ValueError(f"seal: the envelope {error}") from None


# --- what differs ---------------------------------------------------------------------------------------------------


def named(differences: Iterable[str]) -> str:
    """All in one sentence, the first ones by name."""
    found = list(differences)
    more = len(found) - SHOWN
    return "; ".join(found[:SHOWN]) + (f"; ... and {more} more" if more > 0 else "")


def differences(sealed: object, shown: object, path: str = "") -> Iterator[str]:
    """Each field that does not say what was sealed, by its path, with both values."""
    if isinstance(sealed, dict) and isinstance(shown, dict):
        yield from _in_objects(sealed, shown, path)
    elif isinstance(sealed, list) and isinstance(shown, list):
        yield from _in_lists(sealed, shown, path)
    elif type(sealed) is not type(shown) or sealed != shown:
        yield f"{path}: sealed {_brief(sealed)}, the file says {_brief(shown)}"


def _in_objects(sealed: Mapping[str, object], shown: Mapping[str, object], path: str) -> Iterator[str]:
    for key in dict.fromkeys((*sealed, *shown)):
        inner = f"{path}.{key}" if path else key
        if key not in shown:
            yield f"{inner}: sealed {_brief(sealed[key])}, missing in the file"
        elif key not in sealed:
            yield f"{inner}: was not sealed, the file says {_brief(shown[key])}"
        else:
            yield from differences(sealed[key], shown[key], inner)


def _in_lists(sealed: Sequence[object], shown: Sequence[object], path: str) -> Iterator[str]:
    for index, (one, other) in enumerate(zip(sealed, shown, strict=False)):
        yield from differences(one, other, f"{path}[{index}]{_label(one)}")
    for index in range(len(shown), len(sealed)):
        yield f"{path}[{index}]{_label(sealed[index])}: sealed, missing in the file"
    for index in range(len(sealed), len(shown)):
        yield f"{path}[{index}]{_label(shown[index])}: was not sealed"


def _label(entry: object) -> str:
    """` (clone)`, ` (appdata/source)`: which entry a number means."""
    if not isinstance(entry, dict):
        return ""
    name = next((str(entry[key]) for key in _NAMES if isinstance(entry.get(key), str)), "")
    more = f"/{entry['domain']}" if "domain" in entry and "step" not in entry else ""
    return f" ({name}{more})" if name else ""


def _brief(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def line_differences(sealed: str, shown: str) -> Iterator[str]:
    """Where two texts part, line by line under the page's last heading; for pages and for bytes that carry no field."""
    heading = "top"
    ours, theirs = sealed.splitlines(keepends=True), shown.splitlines(keepends=True)
    for number, line in enumerate(ours):
        heading = _heading(line) or heading
        other = theirs[number] if number < len(theirs) else ""
        if line != other:
            yield f"line {number + 1} ({heading}): sealed {_around(line, other)}, the file says {_around(other, line)}"
            if len(ours) != len(theirs):  # what follows has moved, and says nothing
                return
    if len(theirs) > len(ours):
        yield f"line {len(ours) + 1} ({heading}): was not sealed: {_brief(theirs[len(ours)].strip())}"


def _heading(line: str) -> str:
    found = re.search(r"<h[123][^>]*>(.*?)</h[123]>", line)
    return re.sub(r"<[^>]+>", "", found[1]) if found else ""


def _around(line: str, other: str) -> str:
    """The place where a line parts from another, with a little before it."""
    same = next((i for i, (a, b) in enumerate(zip(line, other, strict=False)) if a != b), min(len(line), len(other)))
    start = max(0, same - 24)
    return json.dumps(line[start : same + 40], ensure_ascii=False)
