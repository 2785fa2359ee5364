"""Small typed pieces that say how a value is written as JSON and read back, and refuse everything else."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Generic, TypeVar

from dr.model.timeline import format_instant, parse_instant

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class ShapeError(ValueError):
    """What was read has not the shape it must have; the message starts with the path inside the value."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'value'} {problem}")


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """`write` gives plain JSON values; `read` takes such a value and its path, and raises ShapeError."""

    write: Callable[[T], Any]
    read: Callable[[Any, str], T]
    fields: tuple[type[Any], frozenset[str]] | None = None
    """Of a record: its dataclass, and the fields that are written."""
    absent: tuple[T] | None = None
    """Of a field that came later: what it is in a document that has none (`later`)."""


def _instance(kind: type[T], name: str) -> Shape[T]:
    def read(value: Any, path: str) -> T:
        # bool is an int in Python, never in the stored format
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ShapeError(path, f"is no {name}")
        return value

    return Shape(lambda value: value, read)


text = _instance(str, "text")
integer = _instance(int, "integer")
boolean = _instance(bool, "boolean")


def _read_number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ShapeError(path, "is no number")
    return float(value)


number: Shape[float] = Shape(float, _read_number)


def _parsed(parse: Callable[[str], T], write: Callable[[T], str]) -> Shape[T]:
    def read(value: Any, path: str) -> T:
        try:
            return parse(text.read(value, path))
        except ShapeError:
            raise
        except ValueError as error:
            raise ShapeError(path, f"cannot be read: {error}") from error

    return Shape(write, read)


instant: Shape[datetime] = _parsed(parse_instant, format_instant)


def parsed(parse: Callable[[str], T], write: Callable[[T], str] = str) -> Shape[T]:
    """A value with a text form of its own."""
    return _parsed(parse, write)


def enumeration(kind: type[E]) -> Shape[E]:
    """By the member's value."""
    return _parsed(kind, lambda member: member.value)


duration: Shape[timedelta] = Shape(
    lambda value: value.total_seconds(), lambda value, path: timedelta(seconds=_read_number(value, path))
)


def optional(shape: Shape[T]) -> Shape[T | None]:
    """null for None."""
    return Shape(
        lambda value: None if value is None else shape.write(value),
        lambda value, path: None if value is None else shape.read(value, path),
    )


def later(shape: Shape[T], default: T) -> Shape[T]:
    """A field that documents of older versions lack; they mean the default, which is not written either."""
    return Shape(shape.write, shape.read, shape.fields, (default,))


def many(shape: Shape[T]) -> Shape[tuple[T, ...]]:
    """A list, in order."""

    def read(value: Any, path: str) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ShapeError(path, "is no list")
        return tuple(shape.read(item, f"{path}[{index}]") for index, item in enumerate(value))

    return Shape(lambda values: [shape.write(item) for item in values], read)


def by_name(shape: Shape[T]) -> Shape[Mapping[str, T]]:
    """An object with free keys."""

    def read(value: Any, path: str) -> Mapping[str, T]:
        if not isinstance(value, dict):
            raise ShapeError(path, "is no object")
        return {key: shape.read(item, f"{path}.{key}") for key, item in value.items()}

    return Shape(lambda values: {key: shape.write(item) for key, item in values.items()}, read)


def _plain(value: Any, path: str) -> Any:
    """Free JSON, copied: tuples become lists, everything that is not JSON is refused."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item, f"{path}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, f"{path}.{key}") for key, item in value.items()}
    raise ShapeError(path, f"is not JSON: {type(value).__name__}")


def _read_details(value: Any, path: str) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ShapeError(path, "is no object")
    return {key: _plain(item, f"{path}.{key}") for key, item in value.items()}


details: Shape[Mapping[str, object]] = Shape(lambda value: _plain(value, ""), _read_details)


def record(kind: type[T], /, **fields: Shape[Any]) -> Shape[T]:
    """A dataclass, field by field; unknown fields are refused, and missing ones that are not `later`."""
    required = {name for name, shape in fields.items() if shape.absent is None}

    def write(value: T) -> Any:
        return {name: shape.write(found) for name, shape, found in _written(value, fields)}

    def read(value: Any, path: str) -> T:
        if not isinstance(value, dict):
            raise ShapeError(path, "is no object")
        for name in sorted((value.keys() - fields.keys()) | (required - value.keys())):
            raise ShapeError(f"{path}.{name}".lstrip("."), "is unknown" if name in value else "is missing")
        return kind(**{name: _field(shape, value, name, path) for name, shape in fields.items()})

    return Shape(write, read, (kind, frozenset(fields)))


def _written(value: object, fields: Mapping[str, Shape[Any]]) -> Iterator[tuple[str, Shape[Any], Any]]:
    for name, shape in fields.items():
        found = getattr(value, name)
        if shape.absent is None or found != shape.absent[0]:
            yield name, shape, found


def _field(shape: Shape[Any], value: dict[str, Any], name: str, path: str) -> Any:
    if shape.absent is not None and name not in value:
        return shape.absent[0]
    return shape.read(value[name], f"{path}.{name}".lstrip("."))
