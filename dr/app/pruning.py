"""`dr points prune`, wired: each component's vault by the identity that prunes and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dr.app.core import App
from dr.app.overview import forget
from dr.app.who import who
from dr.errors import DAMAGED, DrError, Exit
from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.strategy import Objective
from dr.plan.retain import Rule
from dr.record.holds import active_holds
from dr.run.condemning import Terms
from dr.run.drill import list_drills, load_report
from dr.run.prune import Options, Pruner, PruneResult

READERS = 16


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of one component."""

    component: str
    result: PruneResult | None
    error: DrError | None = None

    @property
    def ok(self) -> bool:
        return self.result is not None and not self.result.unsettled


def prune(app: App, components: Sequence[str], options: Options) -> tuple[Pruned, ...]:
    """Row by row; one that refuses does not stop the others. Raises DrError UNKNOWN_COMPONENT, UNREACHABLE (control)."""
    rows = [row for row in app.rows(components) if row.sources]
    proven = proven_points(app)
    try:
        return tuple(_prune(app, row, options, proven) for row in rows)
    finally:
        if not options.dry_run:
            forget(app)


def _prune(app: App, row: Objective, options: Options, proven: frozenset[str]) -> Pruned:
    try:
        pruner = Pruner(app.control, app.vault(row.component), app.journal(), app.clock, who(app), options)
        terms = Terms(
            component=row.component,
            rules={spec.id: Rule(row.retention, row.keep) for spec in row.sources},
            retention=row.retention,
            holds=active_holds(app.control, app.clock.now()),
            proven=proven,
        )
        return Pruned(row.component, pruner.run(terms))
    except DrError as error:
        return Pruned(row.component, None, error)


def exit_code(results: Sequence[Pruned]) -> int:
    """0; the only failure's own code; 3 when some rows were pruned and some not."""
    failed = [one for one in results if not one.ok]
    if not failed:
        return int(Exit.OK)
    if len(failed) < len(results):
        return int(Exit.PARTIAL)
    codes = {one.error.kind.exit if one.error else Exit.FAILED for one in failed}
    return int(codes.pop()) if len(codes) == 1 else int(Exit.FAILED)


def proven_points(app: App) -> frozenset[str]:
    """Manifests of points that a drill restored and checked, by the drills' reports."""
    with ThreadPoolExecutor(READERS, thread_name_prefix="drills") as pool:
        reports = pool.map(lambda drill: _report(app, drill), list_drills(app.control))
        return frozenset(row.point for report in reports if report for row in report.rows if _proves(row))


def _report(app: App, drill: str) -> DrillReport | None:
    try:
        return load_report(app.control, drill)
    except DrError as error:
        # a report that cannot be read proves nothing
        if error.kind is DAMAGED:
            return None
        raise


def _proves(row: DrillRow) -> bool:
    """Restored and checked; too slow or too old is still a good point."""
    checked = bool(row.checks) and all(check.passed for check in row.checks)
    return checked and row.verdict in (Verdict.MET, Verdict.LUCKY, Verdict.MISSED) and row.point.endswith(".json")
