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
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress

if TYPE_CHECKING:
    from dr.model.evidence import DrillReport
    from dr.run.drill import DrillResult


@click.group("drill")
def command() -> None:
    """Run a restore drill into isolated targets, and report what was measured."""


@command.command("run")
@click.argument("scenario")
@component_option
@click.option("--point-in-time", "instant", metavar="T", help="Instant to restore to (default: the disaster).")
@click.option("--disaster-at", metavar="T", help="When the disaster struck (default: now; nothing is destroyed).")
@click.option(
    "--witness", type=click.Path(dir_okay=False, path_type=Path), help="A writer's record of acknowledged writes."
)
@declare_option
@output_option("junit", "html")
@click.pass_context
def run_command(
    ctx: click.Context,
    scenario: str,
    components: tuple[str, ...],
    instant: str | None,
    disaster_at: str | None,
    witness: Path | None,
    declares: tuple[str, ...],
    form: str,
) -> None:
    """Restore what the schedule made (never a new backup), check it, measure RTO and RPO, tear down.

    SCENARIO: quarterly, appdata, cluster, or a file. Exit 0: every row drilled was met; 6: an objective was missed;
    7: a recovery point is damaged; 1: something else failed.
    """
    from dr.app.drills import narrowed, run_drill
    from dr.scenarios import load_scenario

    with progress(form) as listener, interruptible() as stop:
        app = the_app(ctx, "restore", listener)
        names = components_of(components)
        app.rows(names)
        result = run_drill(
            app,
            narrowed(load_scenario(scenario), names),
            requested=instant_of(instant, "--point-in-time"),
            disaster_at=instant_of(disaster_at, "--disaster-at"),
            witness=witness,
            declared_steps=declared_of(declares),
            stop=stop,
        )
    show_report(result.report, form)
    code = exit_code(result)
    if code:
        ctx.exit(code)
    next_command(f"dr drill report {result.report.id} -o html", "the page for the auditor")


@command.command("list")
@output_option()
@click.pass_context
def list_command(ctx: click.Context, form: str) -> None:
    """Drills that left a report, oldest first."""
    from dr.app.drills import reports
    from dr.report.results import drill_item, drills_sheet
    from dr.report.screen import show

    items = list(map(drill_item, reports(the_app(ctx, "restore"))))
    emit(form, "Drill", items, name="id", table=lambda _: show(drills_sheet(items)))


@command.command("report")
@click.argument("drill", required=False)
@output_option("junit", "html")
@click.pass_context
def report_command(ctx: click.Context, drill: str | None, form: str) -> None:
    """The report of one drill (default: the newest)."""
    from dr.app.drills import report_of

    show_report(report_of(the_app(ctx, "restore"), drill), form)


def show_report(report: DrillReport, form: str) -> None:
    """In any of its forms."""
    if form == "html":
        from dr.report.drill_html import drill_html

        click.echo(drill_html(report))
    elif form == "junit":
        from dr.report.junit import junit

        click.echo(junit(report))
    elif form == "name":
        click.echo(report.id)
    elif form in ("json", "yaml"):
        import json

        from dr.report.drill_json import drill_json

        emit_document(form, json.loads(drill_json(report)))
    else:
        from dr.report.screen import show
        from dr.report.tables import drill_sheet

        click.echo(show(drill_sheet(report, wide=form == "wide")).rstrip())


def exit_code(result: DrillResult) -> int:
    from dr.errors import Exit
    from dr.model.evidence import Verdict

    if result.report.passed:
        return int(Exit.OK)
    if result.damaged:
        return int(Exit.VERIFICATION_FAILED)
    failed = any(row.verdict is Verdict.FAILED for row in result.report.rows)
    clean = all(check.passed for check in result.report.teardown)
    return int(Exit.FAILED if failed or not clean else Exit.OBJECTIVE_MISSED)
