"""`dr plan`: what the table asks, what can be kept, and why."""

from __future__ import annotations

import click

from dr.cli.common import emit, next_command, output_option, the_app


@click.command("plan")
@click.option("--offline", is_flag=True, help="Ask no source: show what follows from the table and the points alone.")
@output_option()
@click.pass_context
def command(ctx: click.Context, offline: bool, form: str) -> None:
    """Each row and failure domain: the cadence and how it is derived, the worst-case RPO, and what cannot be met."""
    from dr.app.overview import planned_rows
    from dr.report.envelope import plan_item
    from dr.report.screen import show
    from dr.report.tables import plan_sheet

    rows, silent = planned_rows(the_app(ctx), offline=offline)
    items = list(map(plan_item, rows))
    emit(form, "Plan", items, name="component", table=lambda wide: show(plan_sheet(rows, wide=wide)))
    for line in silent:
        click.echo(f"not asked: {line}", err=True)
    next_command("dr run", "keeps these cadences")
