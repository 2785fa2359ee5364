"""`dr restore`: planned, reviewed, applied, resumed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import (
    F,
    component_option,
    components_of,
    emit,
    emit_document,
    instant_of,
    next_command,
    output_option,
    the_app,
)
from dr.cli.declared import declare_option, declared_of
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.model.plans import RestorePlan
    from dr.run.restore import RestoreResult

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
@click.option("--over", default="", metavar="NAME", help="Allow writing over this protected target, named in full.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the estimate is above this.")
@named_options
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
    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        plan = replace(
            planned(app, instant, components, domain, over, max_cost, names_of(secrets, delete_newer)),
            declared=declared_of(declares),
        )
        if form in ("table", "wide"):
            show_plan(app, plan, form)
        if not auto_approve:
            approve()
        apply_and_show(ctx, app, plan, form)


@command.command("plan")
@click.option("--point-in-time", "instant", metavar="T", required=True, help="RFC 3339 instant to restore to.")
@component_option
@click.option("--domain", type=click.Choice(DOMAINS), default="logical", show_default=True, help="What was lost.")
@click.option("--over", default="", metavar="NAME", help="Allow writing over this protected target, named in full.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the estimate is above this.")
@named_options
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
    secrets: tuple[str, ...],
    delete_newer: bool,
    declares: tuple[str, ...],
    out: Path | None,
    form: str,
) -> None:
    """Say what would be restored, from what, at what cost; change nothing."""
    from dr.record.codec import encode
    from dr.report.envelope import restore_plan

    app = the_app(ctx, "restore")
    plan = replace(
        planned(app, instant, components, domain, over, max_cost, names_of(secrets, delete_newer)),
        declared=declared_of(declares),
    )
    if out:
        write_new(out, encode(plan))
    if form in ("json", "yaml"):
        emit_document(form, restore_plan(plan))
    elif form == "name":
        click.echo(plan.id)
    else:
        show_plan(app, plan, form)
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
@click.argument("restore")
@output_option()
@click.pass_context
def resume_command(ctx: click.Context, restore: str, form: str) -> None:
    """Go on with a restore that was interrupted or failed; steps that are journalled are not repeated."""
    from dr.app.restores import stored_plan

    with progress(form) as listener:
        app = the_app(ctx, "restore", listener)
        apply_and_show(ctx, app, stored_plan(app, restore), form)


@command.command("status")
@click.argument("restore", required=False)
@output_option()
@click.pass_context
def status_command(ctx: click.Context, restore: str | None, form: str) -> None:
    """Restores that were begun, newest last; with RESTORE: its steps."""
    from dr.app.restores import begun, progress_of
    from dr.report.results import begun_sheet
    from dr.report.screen import show

    app = the_app(ctx, "restore")
    items = [progress_of(app, name) for name in ([restore] if restore else begun(app))]
    emit(form, "Restore", items, name="id", table=lambda wide: show(begun_sheet(items, steps=bool(restore) or wide)))


def planned(
    app: App,
    instant: str | None,
    components: tuple[str, ...],
    domain: str,
    over: str,
    max_cost: float | None,
    named: tuple[str, ...] = (),
) -> RestorePlan:
    """Raises DrError USAGE, INSTANT_UNREACHABLE, TARGET_EXISTS, TARGET_PROTECTED, OVER_BUDGET."""
    from dr.app.restores import make_plan
    from dr.errors import USAGE, DrError
    from dr.model.strategy import FailureDomain

    requested = instant_of(instant, "--point-in-time")
    if requested is None:
        raise DrError(
            USAGE, "which instant? give --point-in-time", hint="for example --point-in-time 2025-05-28T10:00:00Z"
        )
    return make_plan(app, requested, components_of(components), FailureDomain(domain), over, max_cost, named)


def show_plan(app: App, plan: RestorePlan, form: str) -> None:
    from dr.report.results import plan_sheet
    from dr.report.screen import show

    click.echo(show(plan_sheet(plan, app.clock.now(), wide=form == "wide")).rstrip())


def approve() -> None:
    """Raises DrError USAGE when the answer is not a literal yes."""
    from dr.errors import USAGE, DrError

    click.echo("Only 'yes' will be accepted to apply this plan.")
    if click.prompt("Apply", default="", show_default=False) != "yes":
        raise DrError(USAGE, "not approved; nothing was changed")


def apply_and_show(ctx: click.Context, app: App, plan: RestorePlan, form: str) -> None:
    """Exit 0 when all is restored, 3 when only part is, 7 when a point is damaged, else the failure's own code."""
    from dr.app.restores import apply
    from dr.report.envelope import declared_item
    from dr.report.results import recovery_notes, restored_item, restored_sheet
    from dr.report.screen import show

    with interruptible() as stop:
        result = apply(app, plan, stop)
    items = [
        restored_item(
            str(entry.item.planned.source),
            str(entry.item.planned.domain),
            str(entry.restored),
            entry.error.message if entry.error else "",
            entry.own_steps,
        )
        for entry in result.items
    ]
    took = result.ended.seconds_since(result.started)
    notes = [f"restore {plan.id}: {took:.1f} s in this run", *recovery_notes(plan, took)]
    emit(
        form,
        "Restored",
        items,
        name="source",
        table=lambda _: show(restored_sheet(items, notes)),
        id=plan.id,
        seconds=took,
        declared=[declared_item(step) for step in plan.declared],
        recovery_seconds=took + sum(step.took.total_seconds() for step in plan.declared),
    )
    code = exit_code(result)
    if code:
        click.echo(f"    go on with: dr restore resume {plan.id}", err=True)
        ctx.exit(code)


def exit_code(result: RestoreResult) -> int:
    from dr.errors import Exit
    from dr.run.restore import Restored

    if result.ok:
        return int(Exit.OK)
    if any(entry.restored is Restored.PARKED for entry in result.items):
        return int(Exit.INTERRUPTED)
    if any(entry.restored is Restored.DONE for entry in result.items):
        return int(Exit.PARTIAL)
    codes = [entry.error.kind.exit for entry in result.items if entry.error]
    return int(codes[0]) if codes else int(Exit.FAILED)


def write_new(path: Path, data: bytes) -> None:
    """Create-only. Raises DrError TARGET_EXISTS, CONFIGURATION."""
    from dr.errors import CONFIGURATION, TARGET_EXISTS, DrError

    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise DrError(TARGET_EXISTS, f"{path} exists; the plan was not written over it") from None
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot write {path}: {error.strerror}") from None
