"""The erasure ledger, wired."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dr.app.core import App
from dr.app.who import who
from dr.components.appdata.access import TENANT_DOCUMENTS
from dr.errors import USAGE, DrError
from dr.model.erasure import Erasure
from dr.model.evidence import AcknowledgedWrite
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.plan.erasure import covers, erased_paths, parse_subject
from dr.ports import RestoredItem
from dr.record.erasures import add_erasure, read_erasures
from dr.report.envelope import Item
from dr.report.sheet import Sheet, cell, columns_of


def erase(app: App, subject: str, why: str) -> Erasure:
    """Put it on the ledger, once: what stands there already is that entry. Raises DrError USAGE."""
    try:
        parsed = parse_subject(subject)
    except ValueError as error:
        raise DrError(USAGE, str(error), hint="for example tenant:t-001 or document:tenants/t-001/users/u-7") from None
    for one in read_erasures(app.control):
        if one.subject == parsed:
            return one
    return add_erasure(app.control, parsed, app.clock.now(), who(app), why)


def erasure_item(one: Erasure) -> Item:
    return {
        "id": one.id,
        "subject": str(one.subject),
        "at": format_instant(one.at),
        "by": one.by,
        "why": one.why,
    }


def erasures_sheet(items: Sequence[Item]) -> Sheet:
    keys = ("id", "subject", "at", "by", "why")
    rows = tuple(tuple(cell(str(item[key])) for key in keys) for item in items)
    return Sheet(columns_of(*keys), rows, empty="nobody was erased")


# --- what a witness may not ask for

Forgotten = Callable[[str, str], bool]
"""(source, path) -> whether that document was erased."""


def forgotten(app: App) -> Forgotten:
    """By the ledger of this moment. What was erased is no loss, whoever remembers it."""
    ledger = read_erasures(app.control)
    paths: Mapping[str, tuple[str, ...]] = {
        str(spec.id): erased_paths(ledger, _pattern(spec))
        for spec in app.strategy.sources()
        if ledger and spec.id.kind == "firestore"
    }
    return lambda source, path: covers(paths.get(source, ()), path)


def _pattern(spec: SourceSpec) -> str:
    return str(spec.options.get(TENANT_DOCUMENTS) or "tenants/{tenant}")


def remembered(
    writes: Callable[[str], Sequence[AcknowledgedWrite]], gone: Forgotten
) -> Callable[[str], Sequence[AcknowledgedWrite]]:
    return lambda source: [write for write in writes(source) if not gone(source, write.path)]


def still_known(items: Sequence[RestoredItem], source: str, gone: Forgotten) -> tuple[RestoredItem, ...]:
    return tuple(item for item in items if not gone(source, item.path))
