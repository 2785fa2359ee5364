"""Content hash of a Firestore document: the same for the API, an export and a restored copy.

SHA-256 (hex) of the JSON of the REST form of `Document.fields`, keys sorted, no spaces, UTF-8. References are relative to
their database, so that a document hashes the same in the source and in a restored copy under another name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256

RestValue = Mapping[str, object]
"""One `Value` of the REST API: `{"integerValue": "7"}`."""
Fields = Mapping[str, RestValue]

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, check_circular=False).encode
_REFERENCE = '"referenceValue":'


def canonical_json(fields: Fields) -> str:
    """The text that is hashed."""
    text = _encode(fields)
    if _REFERENCE in text:  # rare: most documents need no second pass
        text = _encode({name: _relative(value) for name, value in fields.items()})
    return text


def canonical_sha256(fields: Fields) -> str:
    """Hex SHA-256 of the canonical content of a document with these REST-form fields."""
    return sha256(canonical_json(fields).encode()).hexdigest()


def relative_reference(name: str) -> str:
    """`documents/a/b` of `projects/P/databases/D/documents/a/b`; as it is when it has no such root."""
    root, separator, path = name.partition("/documents/")
    return f"documents/{path}" if separator and root.startswith("projects/") else name


def _relative(value: object) -> object:
    """`value` with every reference in it made relative. Only the single key of a `Value` says what it is, so that a field
    that happens to be called `referenceValue` stays as it is."""
    if not isinstance(value, Mapping):
        return value
    for kind, content in value.items():
        if kind == "referenceValue":
            return {kind: relative_reference(str(content))}
        if kind == "mapValue" and isinstance(content, Mapping) and content:
            return {kind: {"fields": {name: _relative(inner) for name, inner in content["fields"].items()}}}
        if kind == "arrayValue" and isinstance(content, Mapping) and content:
            return {kind: {"values": [_relative(inner) for inner in content["values"]]}}
    return value
