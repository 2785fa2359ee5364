"""Drills, wired."""

from __future__ import annotations

import platform
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from dr import __version__
from dr.app.core import App
from dr.app.erasing import forgotten, remembered, still_known
from dr.app.forecasting import forecast
from dr.app.looking_with import looker_of
from dr.app.mandate import NOBODY, Mandate
from dr.app.overview import forget
from dr.app.restores import measured_restores, planner, runner
from dr.app.who import who
from dr.errors import NOT_FOUND, USAGE, DrError
from dr.model.drills import Choice, DrillEnd, DrillEnding, DrillOrder, Scenario
from dr.model.evidence import DrillReport
from dr.model.plans import DeclaredStep
from dr.model.strategy import SourceSpec
from dr.model.timeline import format_instant
from dr.ports import RestoredItem
from dr.record.witness import read_witness
from dr.run.drill import BASE, DrillResult, DrillRunner, drill_id, keep_ending, list_drills, load_report
from dr.run.drillends import read_endings
from dr.run.looking import blind
from dr.run.measured import LivingSource, RecordWitness, Witness


def narrowed(scenario: Scenario, components: Sequence[str]) -> Scenario:
    """Only some of its rows. Raises DrError USAGE when none is left."""
    rows = tuple(row for row in scenario.rows if not components or row.component in components)
    if not rows:
        raise DrError(USAGE, f"the scenario {scenario.name} covers no row of {', '.join(components)}")
    checks = tuple(check for check in scenario.checks if any(check.looks_at(key) for key in rows))
    return replace(scenario, rows=rows, checks=checks)


def by_lot(scenario: Scenario, seed: str | None) -> Scenario:
    """`--sample-age SEED`: instants by lot within the retention, whatever the scenario says. Raises DrError USAGE where the
    scenario is about the newest clean point."""
    if seed is None:
        return scenario
    if scenario.choice is Choice.CLEAN:
        raise DrError(USAGE, f"the scenario {scenario.name} looks for the newest clean point: no lot can choose it")
    return replace(scenario, choice=Choice.RANDOM, seed=seed)


def run_drill(
    app: App,
    scenario: Scenario,
    *,
    requested: datetime | None = None,
    disaster_at: datetime | None = None,
    witness: Path | None = None,
    declared_steps: tuple[DeclaredStep, ...] = (),
    stop: Callable[[], bool] = lambda: False,
    mandate: Mandate = NOBODY,
) -> DrillResult:
    """Declare, restore, check, measure, tear down, report, seal. Without `disaster_at` the disaster is declared to be now."""
    declared = app.clock.stamp()
    disaster = disaster_at or declared.wall
    if disaster > declared.wall:
        raise DrError(USAGE, f"the disaster at {format_instant(disaster)} is in the future")
    specs = {row.component: row.sources for row in app.strategy.objectives}
    with ThreadPoolExecutor(4, thread_name_prefix="witness") as pool:
        words, judge = witness_of(app, scenario, specs, disaster, witness, pool)
        order = DrillOrder(
            id=drill_id(scenario.name, declared.wall, secrets.token_hex(2)),
            scenario=scenario,
            scope=app.settings.scope,
            requested=requested or disaster,
            disaster_at=disaster,
            declared=declared,
            witness=words,
            steps=declared_steps,
            by=who(app),
            people=mandate.people,
            runbook=mandate.runbook,
            runbook_sha256=mandate.runbook_sha256,
        )
        drill = DrillRunner(
            planner(app),
            runner(app, BASE, stop, declared),
            app.control,
            app.clock,
            app.strategy,
            __version__,
            longest_retention(app),
            looker_of(app, scenario).look if scenario.checks else blind,
            forecast=partial(forecast, app),
        )
        try:
            return sealed(app, drill.run(order, specs, judge, environment(app), measured_restores(app)))
        finally:
            forget(app)


def sealed(app: App, result: DrillResult) -> DrillResult:
    """The report stands whether or not it can be sealed now: `dr drill seal` does it later."""
    from dr.app.evidence import seal_drill

    try:
        seal_drill(app, result.report.id)
    except DrError as error:
        return replace(result, unsealed=error)
    return result


def witness_of(
    app: App,
    scenario: Scenario,
    specs: Mapping[str, Sequence[SourceSpec]],
    disaster: datetime,
    record: Path | None,
    pool: ThreadPoolExecutor,
) -> tuple[str, Witness]:
    """A writer's record if one is given, else the living sources, read beside the restore."""
    if record is not None:
        found = read_witness(record)
        return f"writer's record, sha256 {found.sha256}", RecordWitness(remembered(found.of, forgotten(app)), disaster)
    if scenario.choice is Choice.RANDOM:  # nothing that lives remembers an instant of last year
        return "none: by the restored instant", LivingSource({}, disaster)
    asked = {
        str(spec.id): spec
        for component in {row.component for row in scenario.rows}
        for spec in specs.get(component, ())
        if app.kits[component].witness is not None
    }
    living = {name: pool.submit(partial(_read_living, app, spec, disaster)) for name, spec in asked.items()}
    return "living source", LivingSource(living, disaster, partial(_recall, app, asked))


def _read_living(app: App, spec: SourceSpec, at: datetime) -> Sequence[RestoredItem]:
    witness = app.kits[spec.id.component].witness
    assert witness is not None
    return still_known(tuple(witness.read(spec, at)), str(spec.id), forgotten(app))


def _recall(
    app: App, specs: Mapping[str, SourceSpec], source: str, paths: Collection[str], at: datetime
) -> Mapping[str, str] | None:
    memory = app.kits[specs[source].id.component].memory
    return memory.recall(specs[source], paths, at) if memory else None


def longest_retention(app: App) -> timedelta:
    """Evidence is kept as long as the longest row."""
    return max(row.retention for row in app.strategy.objectives)


def environment(app: App) -> Mapping[str, object]:
    """Where it was measured, for the report."""
    return {
        "dr": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "control": app.settings.control,
        "vaults": {name: vault.url for name, vault in app.settings.vaults.items()},
    }


def reports(app: App) -> tuple[DrillReport, ...]:
    """Of all drills, by the instant they were declared."""
    found = (load_report(app.control, drill) for drill in list_drills(app.control))
    return tuple(sorted(found, key=lambda report: report.declared_at))


def endings(app: App) -> tuple[DrillEnding, ...]:
    """Drills without a report: skipped, stopped, or whose process died."""
    return tuple(sorted(read_endings(app.control, app.clock.now()), key=lambda ending: ending.at))


def report_of(app: App, drill: str | None) -> DrillReport:
    """One drill's, or the newest. Raises DrError NOT_FOUND."""
    if drill is not None:
        return load_report(app.control, drill)
    found = reports(app)
    if not found:
        raise DrError(NOT_FOUND, "no drill has been run yet", hint="run one: `dr drill run quarterly`")
    return found[-1]


def skip_drill(app: App, scenario: Scenario, reason: str) -> DrillEnding:
    """On record: it was due, and somebody decided that it is not run."""
    if not reason.strip():
        raise DrError(USAGE, "a drill is skipped for a reason: say it with --reason")
    now = app.clock.now()
    ending = DrillEnding(
        drill_id(scenario.name, now, secrets.token_hex(2)), scenario.name, DrillEnd.SKIPPED, now, who(app), reason
    )
    keep_ending(app.control, ending)
    forget(app)
    return ending
