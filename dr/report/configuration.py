"""The configuration's history and differences as sheets. Values of Secrets never come here."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from dr.report.envelope import Item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

_TONES = {"created": Tone.GOOD, "added": Tone.GOOD, "deleted": Tone.BAD, "removed": Tone.BAD}
_LONGEST = 60


def history_sheet(items: Sequence[Item]) -> Sheet:
    """One line a change."""
    rows = tuple(
        (
            cell(item["at"]),
            cell(item["operation"], _TONES.get(str(item["operation"]), Tone.PLAIN)),
            cell(_object(item)),
            cell(", ".join(_texts(item["changed"])) or item["why"]),
        )
        for item in items
    )
    return Sheet(columns_of("at", "what", "object", "where"), rows, empty="no change was seen")


def diff_sheet(items: Sequence[Item], *, wide: bool) -> Sheet:
    """One line an object; with `wide` one a place, with both values."""
    rows = tuple(row for item in items for row in (_wide(item) if wide else [_narrow(item)]))
    return Sheet(
        columns_of("change", "object", "where", *(("from", "to") if wide else ())), rows, empty="no difference"
    )


def _narrow(item: Item) -> tuple[Cell, ...]:
    places = ", ".join(str(place["path"]) for place in _places(item))
    return _change(item), cell(_object(item)), cell(places)


def _wide(item: Item) -> list[tuple[Cell, ...]]:
    places = _places(item) or [{"path": "", "from": None, "to": None}]
    return [
        (
            _change(item),
            cell(_object(item)),
            cell(place["path"]),
            cell(_value(place["from"])),
            cell(_value(place["to"])),
        )
        for place in places
    ]


def _change(item: Item) -> Cell:
    return cell(item["change"], _TONES.get(str(item["change"]), Tone.WARN))


def _object(item: Item) -> str:
    return "/".join(str(item[part]) for part in ("namespace", "kind", "name") if item[part])


def _places(item: Item) -> list[Mapping[str, object]]:
    found = item["places"]
    return [place for place in found if isinstance(place, Mapping)] if isinstance(found, list) else []


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []


def _value(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
