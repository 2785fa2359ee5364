"""What a drill sets out to measure, as it is committed before anything is restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from dr.model.drills import DrillOrder, RowKey
from dr.model.strategy import Strategy
from dr.model.timeline import format_instant
from dr.record.codec import dump


def order_body(order: DrillOrder, strategy: Strategy) -> bytes:
    """The bytes of `order.json` (docs/format.md)."""
    scenario = order.scenario
    rows = [{"component": key.component, "domain": str(key.domain), **_targets(strategy, key)} for key in scenario.rows]
    body: dict[str, object] = {
        "format": 1,
        "kind": "drill-order",
        "id": order.id,
        "scenario": scenario.name,
        "scenario_sha256": scenario.sha256,
        "why": scenario.why,
        "scope": order.scope,
        "by": order.by,
        "people": {name: value for name, value in asdict(order.people).items() if value},
        "runbook": {"name": order.runbook, "sha256": order.runbook_sha256},
        "requested": format_instant(order.requested),
        "disaster_at": format_instant(order.disaster_at),
        "declared_at": format_instant(order.declared.wall),
        "strategy_sha256": strategy.sha256,
        "witness": order.witness,
        "declared": [{"name": step.name, "seconds": step.took.total_seconds()} for step in order.steps],
        "points": str(scenario.choice),
        "drawn": [
            {
                "source": one.source,
                "domain": str(one.domain),
                "requested": format_instant(one.requested),
                "first": format_instant(one.first),
                "last": format_instant(one.last),
                "seed": one.seed,
            }
            for one in order.drawn
        ],
        "checks": [
            {"name": check.name, "component": check.component, "kind": str(check.kind)} for check in scenario.checks
        ],
        "rows": rows,
    }
    return dump(body)


def _targets(strategy: Strategy, key: RowKey) -> Mapping[str, object]:
    row = strategy.objective(key.component)
    if row is None:
        return {}
    return {
        "rto_s": row.rto.total_seconds(),
        "rpo_s": row.rpo.total_seconds(),
        "retention_s": row.retention.total_seconds(),
        "approved_by": row.approved_by,
    }
