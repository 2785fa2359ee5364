"""`dr drill mutate`: does a drill notice?"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import component_option, components_of, emit, next_command, output_option, the_app
from dr.cli.interrupt import interruptible
from dr.cli.progress import progress

if TYPE_CHECKING:
    from dr.model.mutations import Trial


@click.command("mutate")
@component_option
@click.option("--faults", type=click.IntRange(0), metavar="N", help="How many, spread over the rows (default: all).")
@click.option(
    "--fault", "only", multiple=True, metavar="NAME", help="Only this one (`appdata.value-changed`); repeatable."
)
@click.option("--seed", type=int, default=None, help="The same seed plants the same (default: at random, and told).")
@click.option("--clean", type=click.IntRange(0), default=1, show_default=True, help="Clean drills of each row, first.")
@click.option("--resume", default=None, is_flag=False, flag_value="newest", metavar="ID", help="Go on with a campaign.")
@click.option(
    "--witness", type=click.Path(dir_okay=False, path_type=Path), help="A writer's record, for the audit row."
)
@click.option(
    "--scratch", default="", metavar="GS_URL", help="Where copies of exports may lie while they are imported."
)
@click.option("--max-cost", type=float, metavar="USD", help="Refuse what is estimated above.")
@output_option()
@click.pass_context
def mutate_command(
    ctx: click.Context,
    components: tuple[str, ...],
    faults: int | None,
    only: tuple[str, ...],
    seed: int | None,
    clean: int,
    resume: str | None,
    witness: Path | None,
    scratch: str,
    max_cost: float | None,
    form: str,
) -> None:
    """Plant faults in copies of the newest recovery points, and give each copy to an unmodified drill.

    The points themselves are only read. A fault counts as caught when the drill fails the row it hit and names what was hit.
    Exit 7: one was missed, or a clean drill gave an alarm. --resume goes on where a campaign stopped.
    """
    from dr.app.mutating import Mutating, Wish
    from dr.report.mutations import campaign_item, campaign_sheet, trial_item
    from dr.report.screen import show

    names = components_of(components)
    chosen = seed if seed is not None else secrets.randbelow(1_000_000)
    with progress("table" if form == "json" else form) as listener, interruptible() as stop:
        app = the_app(ctx, "restore", listener)
        app.rows(names)
        work = Mutating(app, Wish(names, faults, chosen, clean, witness, scratch, max_cost, only), _tell, stop)
        report = work.run(work.again(resume) if resume else work.begin())
    emit(
        form,
        "Mutation",
        list(map(trial_item, report.trials)),
        name="name",
        table=lambda wide: show(campaign_sheet(report, wide=wide)),
        **campaign_item(report),
    )
    if not report.passed:
        from dr.errors import Exit

        ctx.exit(int(Exit.VERIFICATION_FAILED))
    if not report.complete:
        next_command(f"dr drill mutate --resume {report.campaign.id}", "makes the rest")


def _tell(trial: Trial) -> None:
    """A line for each, while it goes on."""
    from dr.report.mutations import result_of

    click.echo(f"{result_of(trial)}: {trial.fault} ({trial.seconds:.1f} s)", err=True)
