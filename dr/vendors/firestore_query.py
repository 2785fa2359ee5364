"""Documents that meet conditions, counted by Firestore itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dr.vendors.loading import preload

if TYPE_CHECKING:
    from dr.vendors.firestore import Firestore

DATA = "google.cloud.firestore_v1.services.firestore"
_OPS = {"==": 5, "!=": 6, "<": 1, "<=": 2, ">": 3, ">=": 4, "in": 8, "not-in": 10}
"""As `StructuredQuery.FieldFilter.Operator` numbers them."""


def count_found(
    api: Firestore,
    project: str,
    database: str,
    collection: str,
    *,
    group: bool,
    where: Sequence[Mapping[str, object]],
) -> int:
    """Documents of a collection (`group`: of all of that id) that meet every `{field, op, value}`. Raises DrError."""
    preload(DATA)
    from google.cloud.firestore_v1 import types

    selector = types.StructuredQuery.CollectionSelector(collection_id=collection, all_descendants=group)
    query = types.StructuredQuery(from_=[selector])
    if where:
        query.where = {"composite_filter": {"op": 1, "filters": [_filter(one) for one in where]}}
    return api.counted(project, database, query)


def _filter(condition: Mapping[str, object]) -> dict[str, Any]:
    op, field = _OPS[str(condition["op"])], {"field_path": str(condition["field"])}
    return {"field_filter": {"field": field, "op": op, "value": _value(condition["value"])}}


def _value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolean_value": value}
    if isinstance(value, int):
        return {"integer_value": value}
    if isinstance(value, float):
        return {"double_value": value}
    if isinstance(value, list):
        return {"array_value": {"values": [_value(one) for one in value]}}
    return {"string_value": str(value)}
