"""`dr bisect`: the last clean recovery point, by a check of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dr.cli.common import (
    component_option,
    components_of,
    emit,
    instant_of,
    next_command,
    output_option,
    span_of,
    the_app,
)
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress
from dr.cli.restore import DOMAINS

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.model.bisecting import Bisection, BisectOrder


@click.command("bisect")
@click.option(
    "--check", "command_line", metavar="CMD", help="Run against each copy: exit 0 clean, 1 bad, 125 cannot tell."
)
@component_option
@click.option("--from", "first", metavar="T", help="Oldest instant to look at (default: all).")
@click.option("--to", "last", metavar="T", help="Newest instant to look at (default: now).")
@click.option(
    "--domain", type=click.Choice(DOMAINS), default="source", show_default=True, help="Points that survive this loss."
)
@click.option(
    "--every", metavar="SPAN", help="Also an instant this often within a continuous history (default: its ends)."
)
@click.option("--timeout", default="10m", show_default=True, metavar="SPAN", help="Of one check; then it cannot tell.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the whole search is estimated above this.")
@click.option(
    "--confirm", type=click.IntRange(0, 100), default=0, help="So many copies more, to see that what is bad stays bad."
)
@click.option("--resume", metavar="BISECT", help="Go on with one that was interrupted; of a finished one, its report.")
@output_option()
@click.pass_context
def command(
    ctx: click.Context,
    command_line: str | None,
    components: tuple[str, ...],
    first: str | None,
    last: str | None,
    domain: str,
    every: str | None,
    timeout: str,
    max_cost: float | None,
    confirm: int,
    resume: str | None,
    form: str,
) -> None:
    """Search the last clean recovery point: copy after copy is restored, contained, checked and removed.

    For a bad deployment or slow encryption. CMD is run by the shell; DR_DATABASE, DR_NAMESPACES, DR_ARCHIVE, DR_INSTANT and the
    like name the copy (docs/bisect.md). Exit 0: found; 1: not found, or something is left; 3: found, and what is bad does not
    stay bad.
    """
    from dr.app.bisecting import new_search, stored_search
    from dr.errors import USAGE, DrError
    from dr.model.strategy import FailureDomain

    if (command_line is None) == (resume is None):
        raise DrError(USAGE, "give either --check, for a new search, or --resume")
    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        order = (
            stored_search(app, resume)
            if resume
            else new_search(
                app,
                command_line or "",
                components_of(components),
                FailureDomain(domain),
                instant_of(first, "--from"),
                instant_of(last, "--to"),
                span_of(every, "--every") if every else None,
                span_of(timeout, "--timeout"),
                max_cost,
                confirm,
            )
        )
        found = searched(app, order)
    show_found(found, form)
    code = exit_code(found)
    if code:
        ctx.exit(code)
    next_command(
        f"dr restore plan --point-in-time {found.last_clean:%Y-%m-%dT%H:%M:%SZ}", "what going back there would do"
    )


def searched(app: App, order: BisectOrder) -> Bisection:
    """Says how to go on when it does not come to its end."""
    from dr.app.bisecting import search
    from dr.plan.bisecting import most_guesses
    from dr.run.engine import Parked

    most = most_guesses(len(order.candidates), order.confirm)
    click.echo(f"{order.id}: {len(order.candidates)} candidates, at most {most} copies that can tell", err=True)
    try:
        with interruptible() as stop:
            return search(app, order, stop)
    except BaseException as error:
        click.echo(f"    go on with: dr bisect --resume {order.id}", err=True)
        if isinstance(error, Parked):
            raise click.Abort from None
        raise


def show_found(found: Bisection, form: str) -> None:
    from dr.report.bisecting import KIND, bisection_sheet, guess_item, header
    from dr.report.screen import show

    items = [guess_item(guess) for guess in found.guesses]
    emit(
        form,
        KIND,
        items,
        name="candidate",
        table=lambda wide: show(bisection_sheet(found, wide=wide)),
        bisect=header(found),
    )


def exit_code(found: Bisection) -> int:
    from dr.errors import Exit
    from dr.model.bisecting import Finding

    if found.good:
        return int(Exit.OK)
    clean = all(check.passed for check in found.teardown)
    return int(Exit.PARTIAL if found.finding is Finding.FOUND and clean else Exit.FAILED)
