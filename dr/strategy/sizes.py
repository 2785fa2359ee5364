"""Sizes as people write them in the strategy: `500 MiB`, `120GiB`, or a whole number of bytes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

_UNITS: dict[str, int] = {"B": 1} | {f"{letter}iB": 1024**power for power, letter in enumerate("KMGTP", 1)}
SIZE_PATTERN = r"^\d+(\.\d+)?\s*([KMGTP]i)?B$"


def _bytes(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(SIZE_PATTERN, text):
        raise ValueError(f"{value!r} is not a size; write for example 500MiB or 120GiB")
    number = text.rstrip("BiKMGTP").strip()
    return round(float(number) * _UNITS[text[len(number) :].strip()])


_SIZE_SCHEMA: dict[str, object] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": SIZE_PATTERN}],
    "examples": ["500MiB", "120GiB"],
}
ByteSize = Annotated[int, BeforeValidator(_bytes), Field(ge=1), WithJsonSchema(_SIZE_SCHEMA)]
