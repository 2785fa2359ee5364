"""`dr freeze`: stop pruning and new backups of a wreck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dr.cli.common import emit, next_command, output_option, the_app

if TYPE_CHECKING:
    from dr.model.retention import FreezeRecord
    from dr.report.envelope import Item


@click.command("freeze")
@click.option("--reason", default="", metavar="WHY", help="For those who find it frozen.")
@click.option("--lift", is_flag=True, help="End the freeze.")
@click.option("--status", is_flag=True, help="Change nothing; show every turn of the switch.")
@output_option()
@click.pass_context
def command(ctx: click.Context, reason: str, lift: bool, status: bool, form: str) -> None:
    """Stop pruning and new backups during an incident, so that no good point expires and no wreck is captured.

    Stops `dr points prune`, scheduled captures and packs, and `dr backup` (unless --even-frozen). A capture under way ends as it
    would. Change logs of configuration and audit entries go on: they only add. Restores and drills go on: they are what a
    freeze is for.
    """
    from dr.app.overview import forget
    from dr.app.who import who
    from dr.errors import USAGE, DrError
    from dr.record.freeze import history, turn
    from dr.report.retention import freeze_item, freeze_sheet
    from dr.report.screen import show

    if lift and status:
        raise DrError(USAGE, "--lift changes the freeze and --status only shows it: give one of them")
    app = the_app(ctx)
    if not status:
        turn(app.control, not lift, app.clock.now(), who(app), reason)
        forget(app)
    turns: tuple[FreezeRecord, ...] = history(app.control)
    items: list[Item] = list(map(freeze_item, turns))
    on = bool(turns and turns[-1].on)
    emit(form, "Freeze", items, name="number", table=lambda _: show(freeze_sheet(turns)), frozen=on)
    if on:
        next_command("dr freeze --lift", "when the incident is over")
