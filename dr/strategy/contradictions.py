"""What each field allows but the file as a whole must not say."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dr.model.strategy import Frequency
from dr.model.timeline import format_duration
from dr.plan.prices import prices_from
from dr.strategy.schema import KIND_COMPONENT, FirestoreSource, ObjectiveEntry, SourceEntry, StrategyFile, VeleroSource
from dr.strategy.yamlfile import Step

Steps = tuple[Step, ...]
Fault = tuple[Steps, str]


def contradictions(parsed: StrategyFile) -> Iterator[Fault]:
    """Where the file contradicts itself, in its own order, each with one sentence."""
    for index, row in enumerate(parsed.objectives):
        for steps, message in _row(row):
            yield ("objectives", index, *steps), message
    yield from _double_rows(parsed)
    yield from _double_sources(parsed)
    try:
        prices_from(parsed.prices)
    except ValueError as error:
        yield ("prices",), str(error)


def _row(row: ObjectiveEntry) -> Iterator[Fault]:
    yield from _times(row)
    yield from _sizes(row)
    for index, domain in enumerate(row.domains):
        if domain in row.domains[:index]:
            yield ("domains", index), f"{domain} is listed twice"
    for index, source in enumerate(row.sources):
        if KIND_COMPONENT[source.kind] != row.component:
            yield (
                ("sources", index, "kind"),
                f"{source.kind} belongs to the row {KIND_COMPONENT[source.kind]}, not to {row.component}",
            )
        yield from ((("sources", index, *steps), message) for steps, message in _source(source))


def _sizes(row: ObjectiveEntry) -> Iterator[Fault]:
    if row.declared_size and len(row.sources) > 1:
        yield ("declaredSize",), f"stands beside {len(row.sources)} sources: say it of each source"
    places = [((), row.declared_size), *((("sources", i), one.declared_size) for i, one in enumerate(row.sources))]
    for steps, size in places:
        if size and not (size.bytes or size.objects):
            yield (*steps, "declaredSize"), "says neither bytes nor objects"


def _times(row: ObjectiveEntry) -> Iterator[Fault]:
    if row.rto <= timedelta(0):
        yield ("rto",), "must be longer than 0: no recovery takes no time"
    if row.retention <= timedelta(0):
        yield ("retention",), "must be longer than 0"
    elif row.rpo >= row.retention:
        yield (
            ("rpo",),
            f"{format_duration(row.rpo)} is not shorter than the retention {format_duration(row.retention)}: "
            "points would expire before they are needed",
        )
    if row.frequency is Frequency.DAILY:
        yield from _daily(row)


def _daily(row: ObjectiveEntry) -> Iterator[Fault]:
    day = timedelta(days=1)
    if row.retention < day:
        yield ("retention",), f"{format_duration(row.retention)} is shorter than the frequency {row.frequency}"
    if row.rpo == timedelta(0):
        yield ("rpo",), f"0 cannot be promised by a {row.frequency} capture"


def _source(source: SourceEntry) -> Iterator[Fault]:
    if isinstance(source, VeleroSource):
        options = source.options
        if not options.namespaces and not options.namespace_selector:
            yield ("options",), "selects nothing: name namespaces or a namespaceSelector"
        for index, namespace in enumerate(options.namespaces):
            if namespace in options.namespaces[:index]:
                yield ("options", "namespaces", index), f"{namespace!r} is listed twice"
    elif isinstance(source, FirestoreSource) and source.place:
        for field in ("project", "location"):
            own, place = getattr(source.options, field), getattr(source.place, field)
            if own and place and own != place:
                yield ("options", field), f"{own!r} contradicts the source's place, {place!r}"


def _double_rows(parsed: StrategyFile) -> Iterator[Fault]:
    rows: dict[str, int] = {}
    for index, row in enumerate(parsed.objectives):
        first = rows.setdefault(row.component, index)
        if first != index:
            yield ("objectives", index, "component"), f"{row.component} has a row already, objectives[{first}]"


def _double_sources(parsed: StrategyFile) -> Iterator[Fault]:
    seen: dict[object, str] = {}
    for row_index, row in enumerate(parsed.objectives):
        for index, source in enumerate(row.sources):
            here = f"objectives[{row_index}].sources[{index}]"
            for key in _identities(parsed, row.component, source):
                first = seen.setdefault(key, here)
                if first != here:
                    yield ("objectives", row_index, "sources", index, "name"), f"is a source already, {first}"


def _identities(parsed: StrategyFile, component: str, source: SourceEntry) -> Iterator[object]:
    yield component, source.kind, source.name
    if isinstance(source, FirestoreSource):
        options = source.plain_options(source.place or parsed.place)
        yield "database", options["project"], options["database"]
