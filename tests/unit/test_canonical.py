"""The content hash is the same wherever a document is read from, and differs when its content does."""

from __future__ import annotations

from hashlib import sha256

import pytest

from dr.components.appdata.canonical import canonical_json, canonical_sha256
from dr.components.appdata.values import rest_double, rest_timestamp


def test_the_text_that_is_hashed() -> None:
    fields = {"b": {"integerValue": "1"}, "a": {"stringValue": 'é"'}, "d": {"doubleValue": -0.0}}
    text = '{"a":{"stringValue":"é\\""},"b":{"integerValue":"1"},"d":{"doubleValue":-0.0}}'
    assert canonical_json(fields) == text
    assert canonical_sha256(fields) == sha256(text.encode()).hexdigest()


def test_a_reference_is_relative_to_its_database_at_any_depth() -> None:
    def fields(database: str) -> dict[str, dict[str, object]]:
        reference = {"referenceValue": f"projects/p/databases/{database}/documents/a/b"}
        return {"r": reference, "m": {"mapValue": {"fields": {"x": {"arrayValue": {"values": [reference]}}}}}}

    assert canonical_sha256(fields("one")) == canonical_sha256(fields("two"))
    assert '"documents/a/b"' in canonical_json(fields("one"))


def test_a_field_called_like_a_type_stays_as_it_is() -> None:
    value = {"stringValue": "projects/p/databases/d/documents/a/b"}
    fields = {"referenceValue": value, "m": {"mapValue": {"fields": {"referenceValue": value}}}}
    assert canonical_json(fields).count("projects/p/databases/d") == 2


@pytest.mark.parametrize(
    ("micros", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_500_000, "1970-01-01T00:00:01.5Z"),
        (-62135596800000000, "0001-01-01T00:00:00Z"),
    ],
)
def test_timestamps(micros: int, text: str) -> None:
    assert rest_timestamp(micros) == text


def test_a_timestamp_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="out of range"):
        rest_timestamp(2**62)


def test_doubles_that_json_has_no_number_for() -> None:
    assert [rest_double(float(x)) for x in ("nan", "inf", "-inf", "2")] == ["NaN", "Infinity", "-Infinity", 2.0]
