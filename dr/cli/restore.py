"""`dr restore`: planned, reviewed, applied, resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import (
    F,
    component_option,
    emit,
    emit_document,
    next_command,
    output_option,
    the_app,
)
from dr.cli.declared import declare_option, declared_of
from dr.cli.progress import progress
from dr.cli.restore_scope import scope_options
from dr.cli.restore_undo import undo_command
from dr.cli.restoring import apply_and_show, approve, planned, show_plan, write_new

if TYPE_CHECKING:
    pass

DOMAINS = ("logical", "source", "cluster", "region", "project")


def named_options(command: F) -> F:
    """What goes over living configuration only when a person names it."""
    secret = click.option(
        "--secret",
        "secrets",
        multiple=True,
        metavar="NAMESPACE/NAME",
        help="With --over: this Secret goes back although it changed since (`*`: all); repeatable.",
    )
    newer = click.option(
        "--delete-newer", is_flag=True, help="With --over: delete configuration made after the instant."
    )
    return secret(newer(command))


def names_of(secrets: tuple[str, ...], delete_newer: bool) -> tuple[str, ...]:
    """As a target carries them."""
    return (*(f"secret:{name}" for name in secrets), *(["newer"] if delete_newer else []))


@click.group("restore", invoke_without_command=True)
@click.option("--point-in-time", "instant", metavar="T", help="RFC 3339 instant to restore to.")
@component_option
@click.option("--domain", type=click.Choice(DOMAINS), default="logical", show_default=True, help="What was lost.")
@click.option(
    "--over", default="", metavar="NAME", help="Allow writing over this protected target, named in full; several: a,b."
)
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the estimate is above this.")
@click.option("--max-skew", metavar="SPAN", help="Refuse when sources would be restored further apart: 15m.")
@named_options
@scope_options
@declare_option
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@output_option()
@click.pass_context
def command(
    ctx: click.Context,
    instant: str | None,
    components: tuple[str, ...],
    domain: str,
    over: str,
    max_cost: float | None,
    max_skew: str | None,
    secrets: tuple[str, ...],
    delete_newer: bool,
    declares: tuple[str, ...],
    auto_approve: bool,
    form: str,
) -> None:
    """Bring everything back to a point in time: plan, show, ask for a literal yes, apply.

    `dr restore plan --out F` and `dr restore apply F` do the same in two steps: exactly what was reviewed is applied.
    """
    if ctx.invoked_subcommand:
        return
    from dr.app.restores import refuse_unfit

    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        plan = replace(
            planned(app, instant, components, domain, over, max_cost, names_of(secrets, delete_newer), max_skew),
            declared=declared_of(declares),
        )
        if form in ("table", "wide"):
            show_plan(app, plan, form)
        refuse_unfit(app, plan)
        if not auto_approve:
            approve()
        apply_and_show(ctx, app, plan, form)


@command.command("plan")
@click.option("--point-in-time", "instant", metavar="T", required=True, help="RFC 3339 instant to restore to.")
@component_option
@click.option("--domain", type=click.Choice(DOMAINS), default="logical", show_default=True, help="What was lost.")
@click.option(
    "--over", default="", metavar="NAME", help="Allow writing over this protected target, named in full; several: a,b."
)
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the estimate is above this.")
@click.option("--max-skew", metavar="SPAN", help="Refuse when sources would be restored further apart: 15m.")
@named_options
@scope_options
@declare_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan for `dr restore apply`.")
@output_option()
@click.pass_context
def plan_command(
    ctx: click.Context,
    instant: str,
    components: tuple[str, ...],
    domain: str,
    over: str,
    max_cost: float | None,
    max_skew: str | None,
    secrets: tuple[str, ...],
    delete_newer: bool,
    declares: tuple[str, ...],
    out: Path | None,
    form: str,
) -> None:
    """Say what would be restored, from what, at what cost; change nothing."""
    from dr.app.restores import refuse_unfit
    from dr.record.codec import encode
    from dr.report.restore_json import restore_plan

    app = the_app(ctx, "restore")
    plan = replace(
        planned(app, instant, components, domain, over, max_cost, names_of(secrets, delete_newer), max_skew),
        declared=declared_of(declares),
    )
    if form in ("json", "yaml"):
        emit_document(form, restore_plan(plan))
    elif form == "name":
        click.echo(plan.id)
    else:
        show_plan(app, plan, form)
    refuse_unfit(app, plan)
    if out:
        write_new(out, encode(plan))
    next_command(
        f"dr restore apply {out}" if out else "dr restore plan --point-in-time T --out plan.json", "applies just this"
    )


@command.command("apply")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@output_option()
@click.pass_context
def apply_command(ctx: click.Context, file: Path, form: str) -> None:
    """Apply a saved plan, exactly as reviewed, without a question."""
    from dr.errors import CONFIGURATION, DrError
    from dr.model.plans import RestorePlan
    from dr.record.codec import decode

    try:
        data = file.read_bytes()
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot read the plan {file}: {error.strerror}") from None
    with progress(form) as listener:
        apply_and_show(ctx, the_app(ctx, "restore", listener), decode(data, RestorePlan, str(file)), form)


@command.command("resume")
@click.argument("restore", required=False)
@output_option()
@click.pass_context
def resume_command(ctx: click.Context, restore: str | None, form: str) -> None:
    """Go on with a restore that was interrupted or failed; steps that are journalled are not repeated.

    Without RESTORE: the one that is unfinished, if there is just one.
    """
    from dr.app.restores import stored_plan, unfinished

    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        apply_and_show(ctx, app, stored_plan(app, restore or unfinished(app)), form)


@command.command("status")
@click.argument("restore", required=False)
@output_option()
@click.pass_context
def status_command(ctx: click.Context, restore: str | None, form: str) -> None:
    """Restores that were begun, newest last; with RESTORE: its steps, and what is left of them."""
    from dr.app.restores import begun, progress_of
    from dr.report.restore_json import standing_item
    from dr.report.restores import begun_sheet
    from dr.report.screen import show

    app = the_app(ctx, "restore")
    found = [progress_of(app, name) for name in ([restore] if restore else begun(app))]
    items = [standing_item(one) for one in found]
    emit(form, "Restore", items, name="id", table=lambda wide: show(begun_sheet(found, steps=bool(restore) or wide)))


command.add_command(undo_command)
