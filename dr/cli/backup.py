"""`dr backup`: capture now."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from dr.cli.common import emit, next_command, output_option, span_of, the_app
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress

if TYPE_CHECKING:
    from dr.model.retention import FreezeRecord


@click.command("backup")
@click.argument("components", nargs=-1)
@click.option(
    "--scheduled", is_flag=True, help="Capture the slot that is due now, as the scheduler would; nothing if it is done."
)
@click.option(
    "--every",
    default="0s",
    metavar="DURATION",
    help="With --scheduled: how often this command is started. Then it captures early what its next start would capture too late.",
)
@click.option("--max-cost", type=float, metavar="USD", help="Refuse when the estimate of all captures is above this.")
@click.option("--even-frozen", is_flag=True, help="Capture although `dr freeze` says that nothing new is wanted.")
@output_option()
@click.pass_context
def command(
    ctx: click.Context,
    components: tuple[str, ...],
    scheduled: bool,
    every: str,
    max_cost: float | None,
    even_frozen: bool,
    form: str,
) -> None:
    """Capture COMPONENTS (default: every row that can be captured), read back what was written, and commit a recovery point.

    Exit 0: every source has its point. 3: some have. 5: another process works on it, or `dr freeze` is on.

    With --scheduled the slot is that of the derived cadence, so CronJobs and services never capture one twice. While frozen it
    captures nothing, says so, and ends with 0: a CronJob does not fail for what somebody decided.
    """
    from dr.app.captured import capture_item, captures_sheet
    from dr.app.captures import capture_all, capture_scheduled, refuse_captures_over, slots_now, steady
    from dr.app.overview import forget
    from dr.record.freeze import frozen, require_not_frozen
    from dr.report.screen import show

    with progress(form) as listener, interruptible() as stop:
        app = the_app(ctx, listener=listener)
        if scheduled and not even_frozen and (freeze := frozen(app.control)) is not None:
            _not_captured(form, freeze)
            return
        if not even_frozen:
            require_not_frozen(app.control)
        refuse_captures_over(app, components, max_cost)
        if scheduled:
            steady(app)
            results = capture_scheduled(app, components, span_of(every, "--every"), stop)
        else:
            results = capture_all(app, slots_now(app, components, f"m{secrets.token_hex(4)}"), stop)
        forget(app)
    items = list(map(capture_item, results))
    emit(form, "Capture", items, name="slot", table=lambda _: show(captures_sheet(results)))
    code = exit_code(results)
    if code:
        ctx.exit(code)
    next_command("dr points list", "shows what can be restored")


def _not_captured(form: str, freeze: FreezeRecord) -> None:
    """One line for whoever reads the CronJob's log; an empty list for programs."""
    from dr.record.freeze import in_words

    line = f"nothing was captured: {in_words(freeze)}"
    emit(form, "Capture", [], name="slot", table=lambda _: line, frozen=in_words(freeze))


def exit_code(results: object) -> int:
    """0 when each slot has its point; the only failure's own code; 3 when some have one and some not."""
    from collections.abc import Sequence

    from dr.errors import Exit
    from dr.run.runner import Captured, CaptureResult

    assert isinstance(results, Sequence)
    failed = [result for result in results if isinstance(result, CaptureResult) and not result.ok]
    if not failed:
        return int(Exit.OK)
    if any(result.captured is Captured.PARKED for result in failed):
        return int(Exit.INTERRUPTED)
    if len(failed) < len(results):
        return int(Exit.PARTIAL)
    codes = {result.error.kind.exit if result.error else Exit.FAILED for result in failed}
    return int(codes.pop()) if len(codes) == 1 else int(Exit.FAILED)
