"""`dr points prune`."""

from __future__ import annotations

from functools import partial

import click

from dr.cli.common import component_option, components_of, emit, next_command, output_option, span_of, the_app
from dr.errors import USAGE, DrError


@click.command("prune")
@component_option
@click.option("--dry-run", is_flag=True, help="Decide and show; change nothing.")
@click.option(
    "--grace", default="7d", metavar="SPAN", show_default=True, help="How long what is condemned now can still be held."
)
@click.option(
    "--allow-share",
    default="10%",
    metavar="SHARE",
    show_default=True,
    help="Of a row's points, what one run may remove.",
)
@click.option("--scheduled", is_flag=True, help="Started by a clock: while frozen it says so and ends with 0.")
@click.option("--accept-shrunk", is_flag=True, help="Go on although points are missing that the last prune had left.")
@output_option()
@click.pass_context
def command(
    ctx: click.Context,
    components: tuple[str, ...],
    dry_run: bool,
    grace: str,
    allow_share: str,
    scheduled: bool,
    accept_shrunk: bool,
    form: str,
) -> None:
    """Remove what the retention has let go, and say of every point why it is kept or goes.

    What is found expired is condemned now (a tombstone) and deleted by a later prune, once the grace is over and if nothing
    speaks for it by then: a hold always wins. Nothing is done while frozen, when too much would go at once, when points are
    missing that were there the last time, or when the clocks differ.
    """
    from dr.app.pruned import prune_items, prune_notes, prune_sheet
    from dr.app.pruning import exit_code, prune
    from dr.cli.main import explain
    from dr.record.freeze import frozen, in_words
    from dr.report.screen import show
    from dr.run.prune import Options

    options = Options(span_of(grace, "--grace"), share_of(allow_share), accept_shrunk, dry_run)
    app = the_app(ctx, "prune")
    if scheduled and (freeze := frozen(app.control)) is not None:
        line = f"nothing was pruned: {in_words(freeze)}"
        emit(form, "Prune", [], name="name", table=lambda _: line, frozen=in_words(freeze))
        return
    results = prune(app, components_of(components), options)
    items = [item for one in results for item in prune_items(one)]
    notes = [note for one in results for note in prune_notes(one, dry_run=dry_run)]
    table = partial(prune_sheet, items, notes)
    emit(form, "Prune", items, name="name", table=lambda _: show(table()), dry_run=dry_run, notes=notes)
    for one in results:
        if one.error:
            explain(one.error)
    if code := exit_code(results):
        ctx.exit(code)
    next_command("dr points hold POINT --reason WHY", "keeps what is condemned")


def share_of(text: str) -> float:
    """`25%` or `0.25`. Raises DrError USAGE."""
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise DrError(USAGE, f"--allow-share: {text!r} is not a share; write for example 25%")
    return share
