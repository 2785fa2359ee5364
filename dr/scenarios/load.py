"""From a scenario file's bytes to the frozen value, or one sentence about what is wrong with it. Imports pydantic."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from dr.model.drills import RowKey, Scenario, UserCheck
from dr.scenarios.schema import CheckEntry, ScenarioFile
from dr.strategy.load import first_fault
from dr.strategy.yamlfile import YamlFile, read_yaml


def scenario_of(content: bytes, origin: str) -> Scenario:
    """Raises DrError CONFIGURATION."""
    document = read_yaml(origin, content)
    try:
        parsed = ScenarioFile.model_validate(document.data)
    except ValidationError as error:
        raise first_fault(document, error) from None
    rows = _rows(document, parsed)
    return Scenario(
        name=parsed.metadata.name,
        why=" ".join(parsed.why.split()),
        rows=rows,
        checks=_checks(document, parsed, rows),
        choice=parsed.points,
        seed=parsed.seed,
        disaster=parsed.disaster,
        every=parsed.every,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _rows(document: YamlFile, parsed: ScenarioFile) -> tuple[RowKey, ...]:
    found: list[RowKey] = []
    for index, row in enumerate(parsed.rows):
        for key in (RowKey(row.component, domain) for domain in row.domains):
            if key in found:
                raise document.fault(("rows", index), f"{key.component}/{key.domain} is written twice")
            found.append(key)
    return tuple(found)


def _checks(document: YamlFile, parsed: ScenarioFile, rows: tuple[RowKey, ...]) -> tuple[UserCheck, ...]:
    """A check that looks at no row would pass for ever."""
    found: list[UserCheck] = []
    for index, entry in enumerate(parsed.checks):
        check = _check(entry)
        if not any(check.looks_at(key) for key in rows):
            raise document.fault(("checks", index), "looks at no row of the scenario")
        if check.name in [one.name for one in found]:
            raise document.fault(("checks", index), f"{check.name!r} is the name of two checks")
        found.append(check)
    return tuple(found)


def _check(entry: CheckEntry) -> UserCheck:
    kind = entry.kinds[0]
    asks = getattr(entry, kind).model_dump(by_alias=True, exclude_none=True)
    expects = asks.pop("expect")
    return UserCheck(entry.name, entry.component, kind, asks, expects, tuple(entry.domains), entry.timeout)
