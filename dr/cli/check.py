"""`dr check`: is everything in place to keep the table?"""

from __future__ import annotations

import click

from dr.cli.common import component_option, components_of, emit, next_command, output_option, the_app


@click.command("check")
@component_option
@output_option()
@click.pass_context
def command(ctx: click.Context, components: tuple[str, ...], form: str) -> None:
    """Look at permissions, protection settings, stores, formats and the clock. Exit 1 when something is not as it must be."""
    from dr.report.envelope import check_item
    from dr.report.screen import show
    from dr.report.tables import checks_sheet
    from dr.run.checking import check_everything

    app = the_app(ctx)
    rows = app.rows(components_of(components))
    checks = check_everything(
        app.places(rows), [app.source(spec) for row in rows for spec in row.sources], app.clock.now
    )
    emit(form, "Check", list(map(check_item, checks)), name="name", table=lambda _: show(checks_sheet(checks)))
    if not all(check.passed for check in checks):
        ctx.exit(1)
    next_command("dr plan", "shows what can be kept")
