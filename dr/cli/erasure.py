"""`dr erasure`: the ledger of what was erased for good."""

from __future__ import annotations

import click

from dr.cli.common import emit, next_command, output_option, the_app


@click.group("erasure")
def command() -> None:
    """The ledger of erased subjects, replayed over every restored copy before it serves."""


@command.command("add")
@click.argument("subject")
@click.option("--why", required=True, help="The request or decision that it follows; name no person.")
@output_option()
@click.pass_context
def add_command(ctx: click.Context, subject: str, why: str, form: str) -> None:
    """Put SUBJECT on the ledger: `tenant:ID`, or `document:PATH` with everything under it.

    It is never taken off again. Nothing is deleted in production or in the vaults by this: erase there first. From now on no
    restored copy, of a drill or for good, serves with what was erased, and one that still holds it fails.
    """
    from dr.app.erasing import erase, erasure_item, erasures_sheet
    from dr.report.screen import show

    items = [erasure_item(erase(the_app(ctx), subject, why))]
    emit(form, "Erasure", items, name="id", table=lambda _: show(erasures_sheet(items)))
    next_command("dr erasure list", "the whole ledger")


@command.command("list")
@output_option()
@click.pass_context
def list_command(ctx: click.Context, form: str) -> None:
    """All entries, oldest first."""
    from dr.app.erasing import erasure_item, erasures_sheet
    from dr.record.erasures import read_erasures
    from dr.report.screen import show

    items = [erasure_item(one) for one in read_erasures(the_app(ctx).control)]
    emit(form, "Erasure", items, name="id", table=lambda _: show(erasures_sheet(items)))
