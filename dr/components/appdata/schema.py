"""The part of the Datastore v3 entity format that exports of Firestore use, described for the protobuf runtime.

Field numbers were read off genuine exports (docs/firestore-exports.md). What is not described here is refused by the decoder:
a partial description that ignored the rest would lose data in silence.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "dr.export"
_OPTIONAL, _REPEATED = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_INT64, _BOOL, _BYTES, _DOUBLE = _Field.TYPE_INT64, _Field.TYPE_BOOL, _Field.TYPE_BYTES, _Field.TYPE_DOUBLE
_STRING, _GROUP, _MESSAGE = _Field.TYPE_STRING, _Field.TYPE_GROUP, _Field.TYPE_MESSAGE


def _build() -> list[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="dr/export.proto", package=_PACKAGE, syntax="proto2")
    _path(file)
    _value(file)
    key = file.message_type.add(name="Key")
    _add(key, "app", 13, _STRING)
    _add(key, "path", 14, _MESSAGE, "Path")
    _add(key, "namespace", 20, _STRING)
    _add(key, "database", 23, _STRING)
    prop = file.message_type.add(name="Property")
    _add(prop, "meaning", 1, _INT64)
    _add(prop, "name", 3, _STRING)
    _add(prop, "multiple", 4, _BOOL)
    _add(prop, "value", 5, _MESSAGE, "Value")
    entity = file.message_type.add(name="Entity")
    _add(entity, "key", 13, _MESSAGE, "Key")
    _add(entity, "property", 14, _MESSAGE, "Property", _REPEATED)
    _add(entity, "raw_property", 15, _MESSAGE, "Property", _REPEATED)
    _add(entity, "group", 16, _MESSAGE, "Path")
    _metadata(file)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = ("Entity", "Overall", "Listing")
    return [message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in names]


def _metadata(file: descriptor_pb2.FileDescriptorProto) -> None:
    overall, listing = file.message_type.add(name="Overall"), file.message_type.add(name="Listing")
    pointer, output = overall.nested_type.add(name="Pointer"), listing.nested_type.add(name="Output")
    _add(overall, "pointer", 1, _MESSAGE, "Overall.Pointer", _REPEATED)
    _add(pointer, "file", 2, _STRING)
    _add(pointer, "entities", 3, _INT64)
    _add(pointer, "bytes", 4, _INT64)
    _add(listing, "output", 2, _MESSAGE, "Listing.Output", _REPEATED)
    _add(output, "file", 2, _STRING, "", _REPEATED)


def _path(file: descriptor_pb2.FileDescriptorProto) -> None:
    path = file.message_type.add(name="Path")
    element = path.nested_type.add(name="Element")
    _add(element, "type", 2, _STRING)
    _add(element, "id", 3, _INT64)
    _add(element, "name", 4, _STRING)
    _add(path, "element", 1, _GROUP, "Path.Element", _REPEATED)


def _value(file: descriptor_pb2.FileDescriptorProto) -> None:
    """One kind at most: the oneof lets the decoder ask which in one call, and a second one on the wire is noticed by length."""
    value = file.message_type.add(name="Value")
    value.oneof_decl.add(name="kind")
    point, reference = value.nested_type.add(name="Point"), value.nested_type.add(name="Reference")
    _add(point, "x", 6, _DOUBLE)
    _add(point, "y", 7, _DOUBLE)
    element = reference.nested_type.add(name="Element")
    _add(element, "type", 15, _STRING)
    _add(element, "id", 16, _INT64)
    _add(element, "name", 17, _STRING)
    _add(reference, "app", 13, _STRING)
    _add(reference, "element", 14, _GROUP, "Value.Reference.Element", _REPEATED)
    _add(reference, "namespace", 20, _STRING)
    _add(reference, "database", 23, _STRING)
    kinds = (("int", 1, _INT64, ""), ("bool", 2, _BOOL, ""), ("string", 3, _BYTES, ""), ("double", 4, _DOUBLE, ""))
    groups = (("point", 5, _GROUP, "Value.Point"), ("reference", 12, _GROUP, "Value.Reference"))
    for name, number, kind, message in kinds + groups:
        _add(value, name, number, kind, message).oneof_index = 0


def _add(
    message: descriptor_pb2.DescriptorProto,
    name: str,
    number: int,
    kind: descriptor_pb2.FieldDescriptorProto.Type.ValueType,
    type_name: str = "",
    label: descriptor_pb2.FieldDescriptorProto.Label.ValueType = _OPTIONAL,
) -> descriptor_pb2.FieldDescriptorProto:
    full = f".{_PACKAGE}.{type_name}" if type_name else None
    return message.field.add(name=name, number=number, type=kind, label=label, type_name=full)


Entity: Any
"""Message class of one stored document. `property` and `raw_property` differ only in being indexed."""
Overall: Any
"""`*.overall_export_metadata`: which listings there are, with the count of entities and of bytes of their outputs."""
Listing: Any
"""`*.export_metadata`: which output files there are."""
Entity, Overall, Listing = _build()
