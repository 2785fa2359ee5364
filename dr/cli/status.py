"""`dr status`."""

from __future__ import annotations

import click

from dr.cli.common import emit, output_option, the_app


@click.command("status")
@click.option("--fresh", is_flag=True, help="List the vaults instead of using the local cache.")
@output_option()
@click.pass_context
def command(ctx: click.Context, fresh: bool, form: str) -> None:
    """Each row and domain: the newest point that survives its loss, its age, when the next is due.

    From the local cache, whose age is shown. Exit 6 when a captured row is older than its RPO allows.
    """
    from dr.app.overview import catalogue, status_rows
    from dr.plan.status import Standing
    from dr.report import words
    from dr.report.envelope import status_item
    from dr.report.screen import show
    from dr.report.tables import status_sheet

    app = the_app(ctx)
    rows, age = status_rows(app, catalogue(app, fresh=fresh), app.clock.now())
    seconds = age.total_seconds()
    note = f"catalogue listed {words.span(seconds)} ago" + ("" if fresh else "; --fresh lists it anew")
    items = list(map(status_item, rows))
    emit(
        form,
        "Status",
        items,
        name="component",
        table=lambda _: show(status_sheet(rows, notes=[note])),
        catalogue_age_s=seconds,
    )
    if any(row.standing in (Standing.LATE, Standing.NO_POINT) for row in rows):
        ctx.exit(6)
