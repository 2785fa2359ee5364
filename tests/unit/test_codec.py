"""Format 1: the same value gives the same bytes, and nothing else is read as it."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.model.ids import Slot, SourceId
from dr.model.runs import Claim, Stamp, StepOutcome
from dr.record import values
from dr.record.codec import decode, encode, from_json, to_json
from dr.record.shapes import Shape, ShapeError, instant, integer, later, record, text
from dr.record.values import KINDS

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
epoch = datetime(2025, 5, 28, tzinfo=UTC)
instants = st.timedeltas(timedelta(days=-9000), timedelta(days=40_000)).map(lambda since: epoch + since)
sources = st.builds(SourceId, names, names, names)
LEAVES: dict[object, st.SearchStrategy[object]] = {
    str: st.text(),
    int: st.integers(),
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    object: plain,
    datetime: instants,
    timedelta: st.timedeltas(timedelta(0), timedelta(days=9000)),
    SourceId: sources,
    Slot: st.builds(Slot, sources, instants, st.just("") | names),
}


def strategy(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Any value of a model's type, as its annotations say."""
    if hint in LEAVES:
        return LEAVES[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(strategy(arguments[0]), max_size=1 + (arguments[0] in LEAVES)).map(tuple)
    if origin is Mapping:
        return st.dictionaries(st.text(), strategy(arguments[1]), max_size=2)
    if origin in (types.UnionType, typing.Union):
        return st.none() | strategy(arguments[0])
    if issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    return st.builds(hint, **{name: strategy(inner) for name, inner in typing.get_type_hints(hint).items()})


@pytest.mark.parametrize("kind", list(KINDS), ids=lambda kind: kind.__name__)
@settings(max_examples=20, phases=[Phase.generate])
@given(data=st.data())
def test_what_is_written_is_read_back(kind: type, data: st.DataObject) -> None:
    value = data.draw(strategy(kind))
    written = encode(value)
    assert encode(value) == written
    again = decode(written, kind, "here")
    assert again == value
    assert encode(again) == written
    assert from_json(json.loads(json.dumps(to_json(value))), kind, "here") == value


SHAPES = {
    name: shape.fields for name, shape in vars(values).items() if isinstance(getattr(shape, "fields", None), tuple)
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_field_is_forgotten(name: str) -> None:
    """A field added to the model must be given a shape."""
    kind, written = SHAPES[name]
    assert written == {field.name for field in dataclasses.fields(kind)}


STAMP = Stamp(datetime(2025, 5, 28, 10, tzinfo=UTC), 12.5, "boot")
CLAIM = Claim("unit", 1, "host/1", STAMP, datetime(2025, 5, 28, 10, 5, tzinfo=UTC))
BYTES = (
    b'{"epoch":1,"expires":"2025-05-28T10:05:00Z","format":1,"kind":"claim","owner":"host/1",'
    b'"taken":{"boot_id":"boot","monotonic":12.5,"wall":"2025-05-28T10:00:00Z"},"unit":"unit"}\n'
)


def test_the_bytes_are_those_of_the_format_document() -> None:
    assert encode(CLAIM) == BYTES


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"epoch":1', b'"epoch":"1"', "epoch is no integer"),
        (b'"epoch":1', b'"epoch":true', "epoch is no integer"),
        (b'"epoch":1,', b"", "epoch is missing"),
        (b'"epoch":1', b'"epoch":1,"extra":2', "extra is unknown"),
        (b'"epoch":1', b'"epoch":1,"epoch":1', "a key appears twice"),
        (b"12.5", b"NaN", "NaN is no JSON"),
        (b"10:05:00Z", b"10:05", "expires cannot be read"),
        (b'"boot_id":"boot",', b"", "taken.boot_id is missing"),
        (b'"kind":"claim"', b'"kind":"end"', "it is no claim"),
        (b'"format":1,', b"", "does not say its format"),
        (b'"format":1', b'"format":"1"', "does not say its format"),
        (b'"}\n', b'"\n', "not JSON"),
        (BYTES, b"", "not JSON"),
        (BYTES, b"[]", "does not say its format"),
        (BYTES, b"\xff", "not JSON"),
    ],
)
def test_damage_is_named(old: bytes, new: bytes, says: str) -> None:
    with pytest.raises(DrError) as caught:
        decode(BYTES.replace(old, new), Claim, "gs://v/claim-0001.json")
    assert caught.value.kind is DAMAGED
    assert caught.value.message.startswith("gs://v/claim-0001.json is damaged: ")
    assert says in caught.value.message


def test_a_newer_format_is_refused_in_one_sentence() -> None:
    with pytest.raises(DrError) as caught:
        decode(BYTES.replace(b'"format":1', b'"format":2,"new":[]'), Claim, "x")
    assert caught.value.kind is NEWER_FORMAT
    assert caught.value.message == "x has format 2; this dr reads up to 1"


@pytest.mark.parametrize("bad", [float("nan"), {1: 2}, {1, 2}, b"x", datetime(2025, 1, 1, tzinfo=UTC)])
def test_details_must_be_json(bad: object) -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        encode(StepOutcome("a", 1, 1, STAMP, STAMP, {"x": bad}))


def test_a_later_field_is_not_missed_in_an_old_document() -> None:
    """It is not written either while it says what its absence says: the bytes of old documents stay what they were."""
    shape = record(Claim, **{**dict.fromkeys(("unit", "owner"), later(text, "nobody")), **_rest_of_a_claim()})
    body = json.loads(BYTES) | {"owner": "nobody"}
    old = {name: value for name, value in body.items() if name not in ("format", "kind", "owner")}
    assert shape.read(old, "").owner == "nobody"
    assert shape.write(shape.read(old, "")) == old
    assert shape.read({**old, "owner": "me"}, "").owner == "me"
    with pytest.raises(ShapeError, match="epoch is missing"):
        shape.read({name: value for name, value in old.items() if name != "epoch"}, "")


def _rest_of_a_claim() -> dict[str, Shape[typing.Any]]:
    return {"epoch": integer, "taken": values.stamp, "expires": instant}
