"""From the file's bytes to the frozen table, or one sentence about what is wrong with it. Imports pydantic."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from dr.errors import DrError
from dr.model.ids import SourceId
from dr.model.strategy import Credit, DeclaredSize, Keep, Objective, Place, SourceSpec, Strategy
from dr.strategy.contradictions import contradictions
from dr.strategy.schema import ObjectiveEntry, SourceEntry, StrategyFile
from dr.strategy.yamlfile import Step, YamlFile, read_yaml, read_yaml_path


def strategy_from(path: Path) -> Strategy:
    """From a file."""
    document, content = read_yaml_path(path)
    return _strategy(document, content)


def strategy_of(name: str, content: bytes) -> Strategy:
    """From bytes."""
    return _strategy(read_yaml(name, content), content)


def _strategy(document: YamlFile, content: bytes) -> Strategy:
    parsed = _validated(document)
    for steps, message in contradictions(parsed):
        raise document.fault(steps, message)
    return Strategy(
        name=parsed.name,
        objectives=tuple(_objective(parsed, entry) for entry in parsed.objectives),
        margin=parsed.margin,
        sha256=hashlib.sha256(content).hexdigest(),
        prices=parsed.prices,
        credits=tuple(Credit(one.rto_at_least, one.percent) for one in parsed.credits),
    )


def _validated(document: YamlFile) -> StrategyFile:
    try:
        return StrategyFile.model_validate(document.data)
    except ValidationError as error:
        raise first_fault(document, error) from None


def first_fault(document: YamlFile, error: ValidationError) -> DrError:
    """The topmost fault in the file, as one sentence; the others are counted."""
    entries = [(_steps(document, entry["loc"]), entry) for entry in error.errors()]
    # a missing key comes last: most often it is there under a wrong name, and that fault says more
    entries.sort(key=lambda fault: (fault[1]["type"] == "missing", document.line(fault[0])))
    faults = [(steps, _sentence(entry["type"], entry["msg"])) for steps, entry in entries]
    steps, message = faults[0]
    return document.fault(steps, message, others=len(faults) - 1)


def _steps(document: YamlFile, loc: Sequence[int | str]) -> tuple[Step, ...]:
    """pydantic's location without the union tags and markers that stand in no file; a missing last key stays."""
    steps: list[Step] = []
    value = document.data
    for position, step in enumerate(loc):
        if (found := _inside(value, step)) is not None:
            value = found[0]
        elif step == "[key]" or position < len(loc) - 1 or _is_tag(value, step):
            continue
        steps.append(step)
    return tuple(steps)


def _inside(value: object, step: int | str) -> tuple[object] | None:
    if isinstance(value, dict) and step in value:
        return (value[step],)
    if isinstance(value, list) and isinstance(step, int) and step < len(value):
        return (value[step],)
    return None


def _is_tag(value: object, step: int | str) -> bool:
    return isinstance(value, dict) and value.get("kind") == step


_SENTENCES = {
    "missing": "is missing",
    "extra_forbidden": "is not a known key",
    "string_type": "must be text (quote it)",
    "string_too_short": "must not be empty",
    "union_tag_not_found": "kind is missing",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "list_type": "must be a list",
}


def _sentence(kind: str, message: str) -> str:
    if kind == "union_tag_invalid":
        return f"kind must be one of {message.partition('expected tags: ')[2]}"
    return _SENTENCES.get(kind) or message.removeprefix("Value error, ").replace("Input should", "should").rstrip(".")


# --- to the model ---------------------------------------------------------------------------------------------------


def _objective(parsed: StrategyFile, row: ObjectiveEntry) -> Objective:
    return Objective(
        component=row.component,
        frequency=row.frequency,
        retention=row.retention,
        rto=row.rto,
        rpo=row.rpo,
        domains=tuple(row.domains),
        sources=tuple(_source(parsed, row, source) for source in row.sources),
        keep=Keep(**row.retain.model_dump()),
        approved_by=row.approved_by or parsed.approved_by,
    )


def _source(parsed: StrategyFile, row: ObjectiveEntry, source: SourceEntry) -> SourceSpec:
    place, size = source.place or parsed.place, source.declared_size or row.declared_size
    return SourceSpec(
        id=SourceId(row.component, source.kind, source.name),
        place=Place(place.project, place.location.lower()),
        options=source.plain_options(place),
        size=DeclaredSize(size.bytes or 0, size.objects or 0) if size else None,
    )
