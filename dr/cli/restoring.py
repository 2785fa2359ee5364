"""What the commands of `dr restore` share: planning, showing, asking, applying."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import components_of, emit, instant_of, span_of
from dr.cli.interrupt import interruptible
from dr.cli.progress import Watcher
from dr.cli.restore_scope import scope_of

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.model.plans import RestorePlan
    from dr.run.restore import RestoreResult


def planned(
    app: App,
    instant: str | None,
    components: tuple[str, ...],
    domain: str,
    over: str,
    max_cost: float | None,
    named: tuple[str, ...] = (),
    max_skew: str | None = None,
) -> RestorePlan:
    """To be shown before it is refused (`refuse_unfit`). Raises DrError USAGE, TARGET_EXISTS, TARGET_PROTECTED, OVER_BUDGET."""
    from dr.app.restores import draft_plan
    from dr.errors import USAGE, DrError
    from dr.model.strategy import FailureDomain

    requested = instant_of(instant, "--point-in-time")
    if requested is None:
        raise DrError(
            USAGE, "which instant? give --point-in-time", hint="for example --point-in-time 2025-05-28T10:00:00Z"
        )
    allowed = span_of(max_skew, "--max-skew") if max_skew else None
    return draft_plan(
        app, requested, components_of(components), FailureDomain(domain), over, max_cost, named, allowed, scope_of()
    )


def show_plan(app: App, plan: RestorePlan, form: str) -> None:
    from dr.report.restores import plan_sheet
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
    from dr.app.restores import apply, tracked
    from dr.report.restore_json import declared_item
    from dr.report.restores import recovery_notes, restored_item, restored_sheet
    from dr.report.screen import show
    from dr.run.overlive import is_over_live

    if isinstance(app.listener, Watcher):
        app.listener.tracker = tracked(app, plan)
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
        if any(is_over_live(item) for item in plan.items):
            click.echo(f"    or go back:  dr restore undo {plan.id}", err=True)
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
