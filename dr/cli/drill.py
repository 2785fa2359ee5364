"""`dr drill`: run, list, report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import (
    component_option,
    components_of,
    emit,
    emit_document,
    instant_of,
    next_command,
    output_option,
    the_app,
)
from dr.cli.declared import declare_option, declared_of
from dr.cli.drill_evidence import EVIDENCE_COMMANDS, mandate_given, people_options, unsealed
from dr.cli.drill_forecast import forecast_command
from dr.cli.drill_mutate import mutate_command
from dr.cli.drill_reap import reap_command
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.model.evidence import DrillReport
    from dr.run.drill import DrillResult


@click.group("drill")
def command() -> None:
    """Run a restore drill into isolated targets, and report what was measured."""


for one in (mutate_command, *EVIDENCE_COMMANDS):
    command.add_command(one)
command.add_command(forecast_command)
command.add_command(reap_command)


@command.command("run")
@click.argument("scenario")
@component_option
@click.option("--point-in-time", "instant", metavar="T", help="Instant to restore to (default: the disaster).")
@click.option("--disaster-at", metavar="T", help="When the disaster struck (default: now; nothing is destroyed).")
@click.option(
    "--witness", type=click.Path(dir_okay=False, path_type=Path), help="A writer's record of acknowledged writes."
)
@click.option(
    "--sample-age",
    "seed",
    metavar="SEED",
    help="Restore an old instant, by lot within the retention; the same seed, the same.",
)
@click.option("--if-due", is_flag=True, help="Do nothing, with exit 0, when this scenario's drill is not due now.")
@people_options
@declare_option
@output_option("junit", "html")
@click.pass_context
def run_command(
    ctx: click.Context,
    /,
    scenario: str,
    components: tuple[str, ...],
    instant: str | None,
    disaster_at: str | None,
    witness: Path | None,
    seed: str | None,
    if_due: bool,
    declares: tuple[str, ...],
    form: str,
    **mandate: str,
) -> None:
    """Restore what the schedule made (never a new backup), check it, measure RTO and RPO, tear down.

    SCENARIO: quarterly, ransomware, nightly-appdata... (`dr drill scenarios` lists them), or a file. Exit 0: every row drilled
    was met; 6: an objective was missed; 7: a recovery point is damaged; 1: something else failed.
    """
    from dr.app.drilldue import standing_of
    from dr.app.drills import by_lot, narrowed, run_drill
    from dr.scenarios import load_scenario

    with progress(form) as listener, interruptible() as stop:
        app = the_app(ctx, "restore", listener)
        names = components_of(components)
        app.rows(names)
        wanted = narrowed(by_lot(load_scenario(scenario), seed), names)
        if if_due and not (standing := standing_of(app, wanted)).due:
            click.echo(f"{wanted.name} is not due: {standing.why}", err=True)
            return
        result = run_drill(
            app,
            wanted,
            requested=instant_of(instant, "--point-in-time"),
            disaster_at=instant_of(disaster_at, "--disaster-at"),
            witness=witness,
            declared_steps=declared_of(declares),
            stop=stop,
            mandate=mandate_given(app, mandate),
        )
    show_report(result.report, form, app)
    if result.unsealed:
        unsealed(result.report.id, result.unsealed)
    code = exit_code(result)
    if code:
        ctx.exit(code)
    next_command(f"dr drill report {result.report.id} -o html", "the page for the auditor")


@command.command("list")
@output_option()
@click.pass_context
def list_command(ctx: click.Context, form: str) -> None:
    """Drills, oldest first: those that left a report, and those that were skipped or came to no end."""
    from dr.app.drills import endings, reports
    from dr.report.results import drill_item, drills_sheet, ended_item
    from dr.report.screen import show

    app = the_app(ctx, "restore")
    found = [*map(drill_item, reports(app)), *map(ended_item, endings(app))]
    items = sorted(found, key=lambda item: (str(item["declared_at"]), str(item["id"])))
    emit(form, "Drill", items, name="id", table=lambda _: show(drills_sheet(items)))


@command.command("skip")
@click.argument("scenario")
@click.option("--reason", required=True, help="Why it is not run; on record, with who said so.")
@output_option()
@click.pass_context
def skip_command(ctx: click.Context, scenario: str, reason: str, form: str) -> None:
    """Put on record that a drill that is due is not run."""
    from dr.app.drills import skip_drill
    from dr.report.results import ended_item, ended_sheet
    from dr.report.screen import show
    from dr.scenarios import load_scenario

    items = [ended_item(skip_drill(the_app(ctx, "restore"), load_scenario(scenario), reason))]
    emit(form, "Drill", items, name="id", table=lambda _: show(ended_sheet(items)))


@command.command("scenarios")
@output_option()
@click.pass_context
def scenarios_command(ctx: click.Context, form: str) -> None:
    """The shipped scenarios: what each is about, its rows, how often it runs, when it is due."""
    from dr.app.drilldue import standings
    from dr.report.scenarios import scenario_item, scenarios_sheet
    from dr.report.screen import show

    items = [scenario_item(*found) for found in standings(the_app(ctx, "restore"))]
    emit(form, "Scenario", items, name="name", table=lambda wide: show(scenarios_sheet(items, wide=wide)))


@command.command("report")
@click.argument("drill", required=False)
@output_option("junit", "html")
@click.pass_context
def report_command(ctx: click.Context, drill: str | None, form: str) -> None:
    """The report of one drill (default: the newest)."""
    from dr.app.drills import report_of

    app = the_app(ctx, "restore")
    show_report(report_of(app, drill), form, app)


def show_report(report: DrillReport, form: str, app: App) -> None:
    """In any of its forms: as it was sealed, if it was."""
    if form == "name":
        click.echo(report.id)
    elif form == "junit":
        from dr.app.evidence import seal_facts
        from dr.report.junit import junit

        click.echo(junit(report, seal_facts(app, report.id)))
    elif form == "html":
        from dr.app.drillpage import page_for

        click.echo(page_for(app, report), nl=False)
    elif form in ("json", "yaml"):
        from dr.app.evidence import document_for

        emit_document(form, document_for(app, report))
    else:
        from dr.app.evidence import seal_line
        from dr.report.screen import show
        from dr.report.tables import drill_sheet

        click.echo(show(drill_sheet(report, wide=form == "wide")).rstrip())
        click.echo(seal_line(app, report.id))


def exit_code(result: DrillResult) -> int:
    from dr.errors import Exit
    from dr.model.evidence import Verdict

    if result.report.passed:
        return int(Exit.OK)
    if result.damaged:
        return int(Exit.VERIFICATION_FAILED)
    failed = any(row.verdict is Verdict.FAILED for row in result.report.rows)
    clean = all(check.passed for check in result.report.around)
    return int(Exit.FAILED if failed or not clean else Exit.OBJECTIVE_MISSED)
