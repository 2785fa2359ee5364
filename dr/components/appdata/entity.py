"""One exported entity -> path and REST-form fields of its document. Refuses all that it does not fully understand."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from dr.components.appdata.canonical import Fields, RestValue
from dr.components.appdata.schema import Entity
from dr.components.appdata.values import NULL, rest_double, rest_timestamp, rest_vector


class Document(NamedTuple):
    """One document of an export. `path` is relative to the database; `fields` in the REST form of the API's `Value`."""

    path: str
    fields: Fields
    database: str = ""
    """`projects/P/databases/D` that its key carries."""


# Meanings that exports of Firestore put on a property; the empty list is a meaning of a null, a map one of bytes.
_NONE, _TIMESTAMP, _POINT, _BLOB, _TEXT, _ENTITY, _EMPTY_LIST, _VECTOR = 0, 7, 9, 14, 15, 19, 24, 31


def decode_document(payload: bytes) -> Document:
    """The document of one record. Raises ValueError with what is not understood."""
    entity = _parse(payload)
    if not entity.HasField("key"):
        raise ValueError("an entity without a key")
    key = entity.key
    if key.namespace:
        raise ValueError(f"an entity in namespace {key.namespace!r}, which Firestore does not have")
    return Document(_path(key.path.element), _fields(entity), database_name(key.app, key.database))


@lru_cache(maxsize=64)
def database_name(app: str, database: str) -> str:
    """`projects/P/databases/D` from an app id (`dev~P`, `s~P`, `P`) and a database id (empty: the default one)."""
    return f"projects/{app.rpartition('~')[2]}/databases/{database or '(default)'}"


def _parse(payload: bytes) -> Any:
    """Parsed completely: dropping what the schema does not describe, and what a second value would overwrite, must not make it shorter."""
    entity = Entity()
    try:
        entity.ParseFromString(payload)
    except DecodeError as error:
        raise ValueError(f"not an entity ({error})") from None
    entity.DiscardUnknownFields()
    if entity.ByteSize() != len(payload):
        raise ValueError("an entity with parts that this reader does not know")
    return entity


def _path(elements: Iterable[Any]) -> str:
    parts: list[str] = []
    for element in elements:
        if element.HasField("id") == element.HasField("name"):
            raise ValueError("a key element needs either an id or a name")
        parts += (element.type, element.name if element.HasField("name") else f"__id{element.id}__")
    if not parts or not all(parts):
        raise ValueError("an incomplete key")
    return "/".join(parts)


def _fields(entity: Any) -> dict[str, RestValue]:
    fields: dict[str, RestValue] = {}
    arrays: dict[str, list[RestValue]] = {}
    vectors: set[str] = set()
    for prop in entity.property:
        _field(prop, fields, arrays, vectors)
    indexed = set(arrays)
    for prop in entity.raw_property:
        _field(prop, fields, arrays, vectors)
        if indexed and prop.name in indexed:
            raise ValueError(f"array {prop.name!r} is split into indexed and other parts: its order is lost")
    for name, values in arrays.items():
        if name in fields:
            raise ValueError(f"field {name!r} occurs twice")
        fields[name] = rest_vector(values) if name in vectors else {"arrayValue": {"values": values}}
    return fields


def _field(prop: Any, fields: dict[str, RestValue], arrays: dict[str, list[RestValue]], vectors: set[str]) -> None:
    name, meaning = prop.name, prop.meaning
    value = _value(meaning, prop.value)
    if not prop.multiple:
        if not name or name in fields or meaning == _VECTOR:
            raise ValueError(f"field {name!r} is nameless, occurs twice or is half a vector")
        fields[name] = value
        return
    values = arrays.get(name)
    if values is None:
        values = arrays[name] = []
        if meaning == _VECTOR:
            vectors.add(name)
    if (name in vectors) != (meaning == _VECTOR) or meaning == _EMPTY_LIST:
        raise ValueError(f"array {name!r} mixes what cannot be mixed")
    values.append(value)


def _value(meaning: int, value: Any) -> RestValue:
    kind = value.WhichOneof("kind")
    convert = _CONVERT.get((kind, meaning))
    if convert is None:
        raise ValueError(f"a value of kind {kind or 'null'} with unknown meaning {meaning}")
    return convert(value)


def _integer(value: Any) -> RestValue:
    return {"integerValue": str(value.int)}


def _boolean(value: Any) -> RestValue:
    return {"booleanValue": value.bool}


def _string(value: Any) -> RestValue:
    return {"stringValue": value.string.decode()}


def _bytes(value: Any) -> RestValue:
    return {"bytesValue": b64encode(value.string).decode()}


def _double(value: Any) -> RestValue:
    return {"doubleValue": rest_double(value.double)}


def _timestamp(value: Any) -> RestValue:
    return {"timestampValue": rest_timestamp(value.int)}


def _point(value: Any) -> RestValue:
    return {"geoPointValue": {"latitude": value.point.x, "longitude": value.point.y}}


def _reference(value: Any) -> RestValue:
    reference = value.reference
    if reference.namespace:
        raise ValueError(f"a reference into namespace {reference.namespace!r}, which Firestore does not have")
    root = database_name(reference.app, reference.database)
    return {"referenceValue": f"{root}/documents/{_path(reference.element)}"}


def _map(value: Any) -> RestValue:
    entity = _parse(value.string)
    if len(entity.key.path.element):
        raise ValueError("a map with a key of its own")
    fields = _fields(entity)
    return {"mapValue": {"fields": fields} if fields else {}}


_CONVERT: dict[tuple[str | None, int], Callable[[Any], RestValue]] = {
    (None, _NONE): lambda _: NULL,
    (None, _EMPTY_LIST): lambda _: {"arrayValue": {}},
    ("int", _NONE): _integer,
    ("int", _TIMESTAMP): _timestamp,
    ("bool", _NONE): _boolean,
    ("double", _NONE): _double,
    ("double", _VECTOR): _double,
    ("string", _NONE): _string,
    ("string", _TEXT): _string,
    ("string", _BLOB): _bytes,
    ("string", _ENTITY): _map,
    ("point", _NONE): _point,
    ("point", _POINT): _point,
    ("reference", _NONE): _reference,
}
