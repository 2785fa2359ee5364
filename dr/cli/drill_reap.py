"""`dr drill reap`."""

from __future__ import annotations

import click

from dr.cli.common import emit, output_option, the_app


@click.command("reap")
@click.argument("drill", required=False)
@output_option()
@click.pass_context
def reap_command(ctx: click.Context, drill: str | None, form: str) -> None:
    """Remove what a dead drill left behind.

    Without DRILL: of every drill that expired (24 hours after it began) and that nobody works on, all that its journal says it
    made, with that very name and uid; then what carries an expired label and is in no journal. What is labelled and has no
    expiry, or another uid, is left and named. With DRILL: that one's leftovers, expired or not, once its owner is gone.
    Exit 0: nothing is left; 1: something had to be left.
    """
    from dr.app.reaping import reap, reaped_items, reaped_sheet
    from dr.errors import Exit
    from dr.report.screen import show

    items = reaped_items(reap(the_app(ctx, "restore"), drill or ""))
    emit(form, "Reaped", items, name="what", table=lambda _: show(reaped_sheet(items)))
    if not all(item["gone"] for item in items):
        ctx.exit(int(Exit.FAILED))
