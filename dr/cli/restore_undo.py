"""`dr restore undo`: back to what was before a restore over living data."""

from __future__ import annotations

import click

from dr.cli.common import output_option, the_app
from dr.cli.progress import progress
from dr.cli.restoring import apply_and_show, approve, show_plan


@click.command("undo")
@click.argument("restore")
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@output_option()
@click.pass_context
def undo_command(ctx: click.Context, restore: str, auto_approve: bool, form: str) -> None:
    """Go back to the undo point that RESTORE took before it changed anything; an application that it cut over is cut back.

    It is a restore itself: fenced, with an undo point of its own, journalled as RESTORE-undo, resumed like any other.
    """
    from dr.app.undoing import undo_of

    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        plan, begun = undo_of(app, restore)
        if not begun:
            if form in ("table", "wide"):
                show_plan(app, plan, form)
            if not auto_approve:
                approve()
        apply_and_show(ctx, app, plan, form)
