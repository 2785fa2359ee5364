"""Documents as the REST API spells them, their way to gRPC and back, and their canonical hash.

Written without looking at how `dr` reads documents: the witness must not share a mistake with what it judges.
A reference is kept as `documents/...`, relative to its database.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, TypeAlias

from google.cloud.firestore_v1.types import document as schema
from google.protobuf.struct_pb2 import NULL_VALUE

Value: TypeAlias = Mapping[str, object]
"""One `Value` of the REST API: `{"integerValue": "17"}`."""
Fields: TypeAlias = Mapping[str, Value]
Message: TypeAlias = Any
"""A raw protobuf message; the SDK publishes no types for it."""

_VALUE = type(schema.Value.pb(schema.Value()))
_NAMES = {math.inf: "Infinity", -math.inf: "-Infinity"}
_FLOATS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def null() -> Value:
    return {"nullValue": None}


def boolean(value: bool) -> Value:
    return {"booleanValue": value}


def integer(value: int) -> Value:
    return {"integerValue": str(value)}


def double(value: float) -> Value:
    return {"doubleValue": "NaN" if math.isnan(value) else _NAMES.get(value, value)}


def timestamp(text: str) -> Value:
    """RFC 3339 UTC. Firestore keeps microseconds, so nothing finer may stand here."""
    return {"timestampValue": text}


def string(value: str) -> Value:
    return {"stringValue": value}


def blob(value: bytes) -> Value:
    return {"bytesValue": base64.b64encode(value).decode()}


def reference(path: str) -> Value:
    return {"referenceValue": f"documents/{path}"}


def place(latitude: float, longitude: float) -> Value:
    return {"geoPointValue": {"latitude": latitude, "longitude": longitude}}


def array(*values: Value) -> Value:
    return {"arrayValue": {"values": list(values)} if values else {}}


def mapping(fields: Fields) -> Value:
    return {"mapValue": {"fields": dict(fields)} if fields else {}}


def fingerprint(content: object) -> str:
    """SHA-256 (hex) of JSON with sorted keys and no blanks, as UTF-8: the canonical form of both components."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


_ENVELOPE = ("apiVersion", "kind", "metadata", "status")


def configmap_fingerprint(manifest: Mapping[str, object]) -> str:
    """Of a ConfigMap: everything but what names it and what the cluster adds."""
    return fingerprint({key: value for key, value in manifest.items() if key not in _ENVELOPE})


def config_fingerprint(manifest: Mapping[str, Any]) -> str:
    """Of an object of the configuration: the same, and its labels and annotations if it has any."""
    told = {part: found for part in ("labels", "annotations") if (found := manifest["metadata"].get(part))}
    content = {key: value for key, value in manifest.items() if key not in _ENVELOPE}
    return fingerprint({**content, **({"metadata": told} if told else {})})


def to_message(value: Value, root: str) -> Message:
    """The gRPC form; `root` is `projects/P/databases/D`."""
    message = _VALUE()
    _set(message, value, root)
    return message


def set_fields(target: Message, fields: Fields, root: str) -> None:
    """Fills a protobuf map of fields."""
    for name, value in fields.items():
        _set(target[name], value, root)


def _set(message: Message, value: Value, root: str) -> None:
    ((kind, content),) = value.items()
    if kind in ("booleanValue", "stringValue"):
        setattr(message, "boolean_value" if kind == "booleanValue" else "string_value", content)
    elif kind == "integerValue":
        message.integer_value = int(str(content))
    elif kind == "nullValue":
        message.null_value = NULL_VALUE
    elif kind == "doubleValue":
        message.double_value = _FLOATS[content] if isinstance(content, str) else content
    elif kind == "timestampValue":
        message.timestamp_value.FromJsonString(content)
    elif kind == "bytesValue":
        message.bytes_value = base64.b64decode(str(content))
    elif kind == "referenceValue":
        message.reference_value = f"{root}/{content}"
    else:
        _set_nested(message, kind, content, root)


def _set_nested(message: Message, kind: str, content: Any, root: str) -> None:
    if kind == "geoPointValue":
        message.geo_point_value.latitude, message.geo_point_value.longitude = content["latitude"], content["longitude"]
    elif kind == "arrayValue":
        message.array_value.SetInParent()
        for item in content.get("values", ()):
            _set(message.array_value.values.add(), item, root)
    elif kind == "mapValue":
        message.map_value.SetInParent()
        set_fields(message.map_value.fields, content.get("fields", {}), root)
    else:
        raise ValueError(f"{kind} is no Firestore value")


def from_fields(fields: Message) -> Fields:
    """The REST form of a protobuf map of fields."""
    return {name: from_message(value) for name, value in fields.items()}


def from_message(message: Message) -> Value:
    """The REST form of one gRPC value."""
    kind = message.WhichOneof("value_type")
    content = getattr(message, kind)
    match kind:
        case "null_value":
            return null()
        case "boolean_value":
            return boolean(content)
        case "integer_value":
            return integer(content)
        case "double_value":
            return double(content)
        case "string_value":
            return string(content)
        case "bytes_value":
            return blob(content)
        case "timestamp_value":
            return timestamp(trim(content.ToJsonString()))
        case "reference_value":
            return reference(content.partition("/documents/")[2])
        case "geo_point_value":
            return place(content.latitude, content.longitude)
        case "array_value":
            return array(*(from_message(item) for item in content.values))
        case "map_value":
            return mapping(from_fields(content.fields))
    raise ValueError(f"{kind} is no Firestore value")


def trim(text: str) -> str:
    """`...00.120000Z` -> `...00.12Z`, `...00.000Z` -> `...00Z`."""
    body, dot, fraction = text.removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{body}{dot if fraction else ''}{fraction}Z"
