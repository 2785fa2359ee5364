"""Firestore values in the REST form of the API, the one form that exports, API answers and hashes share."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import isfinite, isnan
from typing import Any

from dr.components.appdata.canonical import RestValue

NULL: RestValue = {"nullValue": None}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VECTOR_TYPE = {"stringValue": "__vector__"}


def rest_double(number: float) -> float | str:
    """A number where JSON has one, else its name in the REST API."""
    if isfinite(number):
        return number
    return "NaN" if isnan(number) else "Infinity" if number > 0 else "-Infinity"


def rest_timestamp(micros: int) -> str:
    """RFC 3339 of microseconds since the epoch, without trailing zeros in the fraction. Raises ValueError out of range."""
    try:
        instant = _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise ValueError(f"a timestamp out of range: {micros}") from None
    text = instant.isoformat()[:-6]  # without +00:00
    return (text.rstrip("0") if instant.microsecond else text) + "Z"


def rest_vector(values: Sequence[RestValue]) -> RestValue:
    """A vector of doubles: the API shows it as a map with a reserved type."""
    return {"mapValue": {"fields": {"__type__": _VECTOR_TYPE, "value": {"arrayValue": {"values": values}}}}}


def rest_fields(fields: Mapping[str, Any]) -> dict[str, RestValue]:
    """REST form of the fields of a `google.firestore.v1.Document` protobuf. Raises ValueError on a value type it does not know."""
    return {name: _rest_value(value) for name, value in fields.items()}


def _rest_value(value: Any) -> RestValue:
    kind = value.WhichOneof("value_type")
    convert = _CONVERT.get(kind)
    if convert is None:
        raise ValueError(f"a value of unknown type {kind}")
    return convert(value)


def _timestamp(value: Any) -> RestValue:
    stamp = value.timestamp_value
    # Firestore keeps microseconds: what is finer was never stored
    return {"timestampValue": rest_timestamp(stamp.seconds * 1_000_000 + stamp.nanos // 1000)}


def _point(value: Any) -> RestValue:
    point = value.geo_point_value
    return {"geoPointValue": {"latitude": point.latitude, "longitude": point.longitude}}


def _array(value: Any) -> RestValue:
    values = [_rest_value(inner) for inner in value.array_value.values]
    return {"arrayValue": {"values": values} if values else {}}


def _map(value: Any) -> RestValue:
    fields = rest_fields(value.map_value.fields)
    return {"mapValue": {"fields": fields} if fields else {}}


_CONVERT: dict[str | None, Callable[[Any], RestValue]] = {
    "null_value": lambda _: NULL,
    "boolean_value": lambda value: {"booleanValue": value.boolean_value},
    "integer_value": lambda value: {"integerValue": str(value.integer_value)},
    "double_value": lambda value: {"doubleValue": rest_double(value.double_value)},
    "string_value": lambda value: {"stringValue": value.string_value},
    "bytes_value": lambda value: {"bytesValue": b64encode(value.bytes_value).decode()},
    "reference_value": lambda value: {"referenceValue": value.reference_value},
    "timestamp_value": _timestamp,
    "geo_point_value": _point,
    "array_value": _array,
    "map_value": _map,
}
