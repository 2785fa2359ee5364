"""`dr points hold` and `dr points release`."""

from __future__ import annotations

import click

from dr.cli.common import emit, instant_of, next_command, output_option, the_app


@click.command("hold")
@click.argument("point")
@click.option("--reason", required=True, metavar="WHY", help="For those who find it held.")
@click.option("--until", "until", metavar="T", help="Lock it until this RFC 3339 instant; cannot be undone.")
@output_option()
@click.pass_context
def hold_command(ctx: click.Context, point: str, reason: str, until: str | None, form: str) -> None:
    """Keep POINT (a slot or a manifest's name) whatever its retention says, until it is released.

    The store itself refuses to delete its objects, to every identity. With --until they are locked until that instant: a lock
    ends by itself, and nobody shortens it.
    """
    from dr.app.holding import hold
    from dr.report.retention import hold_item, holds_sheet
    from dr.report.screen import show

    record = hold(the_app(ctx), point, reason, instant_of(until, "--until"))
    emit(form, "Hold", [hold_item(record)], name="point", table=lambda _: show(holds_sheet([record])))
    if record.until is None:
        next_command(f"dr points release {point} --reason WHY", "ends it")


@click.command("release")
@click.argument("point")
@click.option("--reason", required=True, metavar="WHY", help="Kept with the record.")
@output_option()
@click.pass_context
def release_command(ctx: click.Context, point: str, reason: str, form: str) -> None:
    """End the holds on POINT; from then on its retention decides again. A hold of a running restore stays."""
    from dr.app.holding import let_go
    from dr.report.retention import hold_item, holds_sheet
    from dr.report.screen import show

    released = let_go(the_app(ctx), point, reason)
    emit(
        form,
        "Released",
        list(map(hold_item, released)),
        name="point",
        table=lambda _: show(
            holds_sheet(released, ["released; what is locked until an instant stays locked until then"])
        ),
    )
