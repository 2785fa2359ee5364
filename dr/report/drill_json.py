"""A drill report as JSON, with the evidence of each figure beside it; and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import isfinite

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.model.evidence import DrillReport, DrillRow, Loss, Recovery, StepTiming, Verdict
from dr.model.points import Check
from dr.model.strategy import FailureDomain
from dr.model.timeline import parse_instant
from dr.report.drill_beside import (
    beside_item,
    clocks_item,
    drawn_items,
    read_clocks,
    read_drawn,
    read_tried,
    read_worst,
)
from dr.report.envelope import API_VERSION, Item, check_item, dumps, envelope, when
from dr.report.forecasts import forecast_item, read_forecast

KIND = "DrillReport"


def drill_json(report: DrillReport) -> str:
    """The report as text. `items` are its rows; what is true of all of them stands under `drill`."""
    return dumps(envelope(KIND, (_row_item(report, row) for row in report.rows), drill=_header(report)))


def _header(report: DrillReport) -> Item:
    return {
        "id": report.id,
        "scenario": report.scenario,
        "scope": report.scope,
        "passed": report.passed,
        "requested": when(report.requested),
        "disaster_at": when(report.disaster_at),
        "declared_at": when(report.declared_at),
        "ended_at": when(report.ended_at),
        "strategy_sha256": report.strategy_sha256,
        "tool_version": report.tool_version,
        "teardown": [check_item(check) for check in report.teardown],
        "tripwire": [check_item(check) for check in report.tripwire],
        "environment": dict(report.environment),
        "by": report.by,
        "drawn": drawn_items(report),
        "forecasts": [forecast_item(one) for one in report.forecasts],
    }


def _row_item(report: DrillReport, row: DrillRow) -> Item:
    return {
        "component": row.component,
        "domain": str(row.domain),
        "source": row.source,
        "scope": report.scope,
        "verdict": str(row.verdict),
        "rto": _recovery_item(row.rto),
        "rpo": _loss_item(row.rpo),
        "instant": when(row.instant),
        "point": {"name": row.point, "sha256": row.point_sha256},
        "objects": row.objects,
        "size_bytes": row.size,
        "rate_bytes_s": _finite(row.rate_bytes_s),
        "checks": [check_item(check) for check in row.checks],
        "findings": list(row.findings),
        **beside_item(report, row),
    }


def _finite(value: float | None) -> float | None:
    """A rate over no measurable time is no figure, and infinity is no JSON."""
    return value if value is not None and isfinite(value) else None


def _recovery_item(rto: Recovery) -> Item:
    return {
        "target_s": rto.target_s,
        "measured_s": rto.measured_s,
        "detection_s": rto.detection_s,
        "steps": [
            {"step": step.step, "start_s": step.start_s, "end_s": step.end_s, "detail": step.detail}
            for step in rto.steps
        ],
        "clocks": clocks_item(rto.clocks),
    }


def _loss_item(rpo: Loss) -> Item:
    return {
        "target_s": rpo.target_s,
        "writes_lost": rpo.writes_lost,
        "oldest_lost_s": rpo.oldest_lost_s,
        "acknowledged": rpo.acknowledged,
        "at_least": rpo.at_least,
        "guaranteed": rpo.guaranteed,
        "witness": rpo.witness,
        "promise": rpo.promise,
        "bound_s": rpo.bound_s,
    }


# --- and back -------------------------------------------------------------------------------------------------------


class _Reader:
    """Typed access to one JSON object; what is absent or of another type is a fault that names its path."""

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, Mapping):
            raise _damaged(path, "is not an object")
        self.value: Mapping[str, object] = value
        self.path = path

    def get(self, name: str) -> object:
        if name not in self.value:
            raise _damaged(f"{self.path}.{name}", "is missing")
        return self.value[name]

    def inner(self, name: str) -> _Reader:
        return _Reader(self.get(name), f"{self.path}.{name}")

    def several(self, name: str) -> list[_Reader]:
        return [_Reader(entry, f"{self.path}.{name}[{i}]") for i, entry in enumerate(self.entries(name))]

    def entries(self, name: str) -> list[object]:
        found = self.get(name)
        if not isinstance(found, list):
            raise _damaged(f"{self.path}.{name}", "is not a list")
        return found

    def text(self, name: str) -> str:
        found = self.get(name)
        if not isinstance(found, str):
            raise _damaged(f"{self.path}.{name}", "is not text")
        return found

    def flag(self, name: str) -> bool:
        found = self.get(name)
        if not isinstance(found, bool):
            raise _damaged(f"{self.path}.{name}", "is not true or false")
        return found

    def number(self, name: str) -> float:
        found = self.optional_number(name)
        if found is None:
            raise _damaged(f"{self.path}.{name}", "is null")
        return found

    def optional_number(self, name: str) -> float | None:
        found = self.get(name)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise _damaged(f"{self.path}.{name}", "is not a number")
        return found

    def count(self, name: str) -> int:
        return int(self.number(name))

    def optional_count(self, name: str) -> int | None:
        found = self.optional_number(name)
        return None if found is None else int(found)

    def instant(self, name: str) -> datetime:
        try:
            return parse_instant(self.text(name))
        except ValueError as error:
            raise _damaged(f"{self.path}.{name}", str(error)) from None


def _damaged(path: str, what: str) -> DrError:
    return DrError(DAMAGED, f"drill report: {path.removeprefix('.')} {what}")


def read_drill_json(text: str | bytes) -> DrillReport:
    """Inverse of `drill_json`. Raises DrError DAMAGED naming the field, NEWER_FORMAT for another version."""
    try:
        root = _Reader(json.loads(text), "")
    except ValueError as error:
        raise DrError(DAMAGED, f"drill report: not readable as JSON: {error}") from None
    if root.text("kind") != KIND:
        raise _damaged(".kind", f"is not {KIND}")
    if root.text("apiVersion") != API_VERSION:
        raise DrError(
            NEWER_FORMAT, f"drill report: {root.text('apiVersion')!r} is not {API_VERSION}, which this dr reads"
        )
    try:
        return _report(root.inner("drill"), root.several("items"))
    except (ValueError, KeyError, TypeError) as error:  # an unknown verdict or domain
        raise DrError(DAMAGED, f"drill report: {error}") from None


def _report(head: _Reader, items: list[_Reader]) -> DrillReport:
    return DrillReport(
        id=head.text("id"),
        scenario=head.text("scenario"),
        scope=head.text("scope"),
        requested=head.instant("requested"),
        disaster_at=head.instant("disaster_at"),
        declared_at=head.instant("declared_at"),
        ended_at=head.instant("ended_at"),
        strategy_sha256=head.text("strategy_sha256"),
        tool_version=head.text("tool_version"),
        rows=tuple(_row(item) for item in items),
        teardown=_checks(head, "teardown"),
        tripwire=_checks(head, "tripwire") if head.get("tripwire") is not None else (),
        environment=head.inner("environment").value,
        by=head.text("by") if "by" in head.value else "",
        drawn=read_drawn(head.entries("drawn")) if "drawn" in head.value else (),
        forecasts=tuple(map(read_forecast, head.several("forecasts") if "forecasts" in head.value else ())),
    )


def _row(item: _Reader) -> DrillRow:
    return DrillRow(
        component=item.text("component"),
        domain=FailureDomain(item.text("domain")),
        source=item.text("source"),
        verdict=Verdict(item.text("verdict")),
        rto=_recovery(item.inner("rto")),
        rpo=_loss(item.inner("rpo")),
        instant=None if item.get("instant") is None else item.instant("instant"),
        point=item.inner("point").text("name"),
        objects=item.count("objects"),
        size=item.count("size_bytes"),
        checks=_checks(item, "checks"),
        findings=tuple(map(str, item.entries("findings"))),
        point_sha256=item.inner("point").text("sha256"),
        requested=item.instant("requested") if item.value.get("requested") else None,
        worst=read_worst(item.value.get("worst_rpo")),
        tried=read_tried(item.entries("tried") if "tried" in item.value else ()),
    )


def _recovery(item: _Reader) -> Recovery:
    steps = tuple(
        StepTiming(step.text("step"), step.number("start_s"), step.number("end_s"), step.text("detail"))
        for step in item.several("steps")
    )
    return Recovery(
        item.number("target_s"),
        item.optional_number("measured_s"),
        item.optional_number("detection_s"),
        steps,
        read_clocks(item.value.get("clocks")),
    )


def _loss(item: _Reader) -> Loss:
    return Loss(
        target_s=item.number("target_s"),
        writes_lost=item.optional_count("writes_lost"),
        oldest_lost_s=item.optional_number("oldest_lost_s"),
        acknowledged=item.optional_count("acknowledged"),
        at_least=item.flag("at_least"),
        guaranteed=item.flag("guaranteed"),
        witness=item.text("witness"),
        promise=item.text("promise"),
        bound_s=item.optional_number("bound_s") if "bound_s" in item.value else None,
    )


def _checks(item: _Reader, name: str) -> tuple[Check, ...]:
    return tuple(Check(check.text("name"), check.flag("passed"), check.text("detail")) for check in item.several(name))
