"""Whether what a check of a user's own saw is what it expects. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Expects = Mapping[str, object]
_SHOWN = 200


def judged_output(expects: Expects, code: int, output: str) -> tuple[bool, str]:
    """Of a command: its exit code, and what it printed."""
    found = re.search(str(expects["output"]), output) is not None
    good = code == expects["exit"] and found
    words = f"exit {code}" if code == expects["exit"] else f"exit {code} instead of {expects['exit']}"
    return good, words + ("" if found else f", and nothing like {expects['output']!r}") + _said(output, good)


def judged_answer(expects: Expects, status: int, body: str) -> tuple[bool, str]:
    """Of a GET: its status and body."""
    found = re.search(str(expects["body"]), body) is not None
    good = status == expects["status"] and found
    words = f"{status}" if status == expects["status"] else f"{status} instead of {expects['status']}"
    return good, words + ("" if found else f", and nothing like {expects['body']!r}") + _said(body, good)


def judged_count(expects: Expects, found: int) -> tuple[bool, str]:
    """Of a query: how many documents it found."""
    bounds = {
        "": found == expects.get("count", found),
        "at least ": found >= _number(expects.get("atLeast"), found),
        "at most ": found <= _number(expects.get("atMost"), found),
    }
    wanted = {"": expects.get("count"), "at least ": expects.get("atLeast"), "at most ": expects.get("atMost")}
    broken = [f"{word}{wanted[word]} expected" for word, kept in bounds.items() if not kept]
    return not broken, f"{found:,} documents" + (f", {' and '.join(broken)}" if broken else "")


def _number(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def judged_object(expects: Expects, found: Mapping[str, object] | None) -> tuple[bool, str]:
    """Of an object: that it is there (or not), one of its conditions, one of its fields."""
    if (found is not None) != expects["exists"]:
        return False, "is there" if found is not None else "is not there"
    if found is None:
        return True, "is not there, as expected"
    said = [_condition(found, str(expects["condition"]))] if expects["condition"] else []
    said += [_field(found, str(expects["field"]), expects.get("equals"))] if expects["field"] else []
    return all(good for good, _ in said), "; ".join(words for _, words in said) or "is there"


def _condition(found: Mapping[str, object], wanted: str) -> tuple[bool, str]:
    status = at(found, "status.conditions")
    entries = status if isinstance(status, Sequence) and not isinstance(status, str) else ()
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("type") == wanted:
            return entry.get(
                "status"
            ) == "True", f"{wanted} is {entry.get('status')} {entry.get('message', '')}".strip()
    return False, f"has no condition {wanted}"


def _field(found: Mapping[str, object], path: str, wanted: object) -> tuple[bool, str]:
    value = at(found, path)
    good = type(value) is type(wanted) and value == wanted
    return good, f"{path} is {value!r}" + ("" if good else f" instead of {wanted!r}")


def at(value: object, path: str) -> object:
    """`spec.replicas`; a number is a place in a list. None when there is nothing."""
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, Sequence) and not isinstance(value, str) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _said(text: str, good: bool) -> str:
    """What it said, where that explains a failure."""
    line = " ".join(text.split())
    return "" if good or not line else f": {line[:_SHOWN]}{'...' if len(line) > _SHOWN else ''}"
