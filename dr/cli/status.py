"""`dr status`."""

from __future__ import annotations

import click

from dr.cli.common import emit, output_option, the_app


@click.command("status")
@click.option("--fresh", is_flag=True, help="Ask the vaults and the control repository instead of the local cache.")
@output_option()
@click.pass_context
def command(ctx: click.Context, fresh: bool, form: str) -> None:
    """Each row and domain: the claimed point and its age, the proven one, when the next is due, the last drill, the verdict.

    From the local cache, whose age is shown; a miss is told only after the stores were asked. Exit 6 when a row is late or
    its last drill missed: silence is a miss, `0 lost, not guaranteed` is none. Below: when the next drills are due, and the SLA
    credit at risk.
    """
    from dr.app.overview import overview
    from dr.app.watched import undelivered
    from dr.report.envelope import status_item, when
    from dr.report.exercises import exercise_item, exercise_notes, risk_item, with_next_drill
    from dr.report.screen import show
    from dr.report.status import notes, status_sheet

    app = the_app(ctx)
    found = overview(app, fresh=fresh)
    now = app.clock.now()
    age_s = (now - found.listed).total_seconds()
    untold = undelivered(app)
    below = (*exercise_notes(found, now), *notes(found.frozen, age_s, fresh, found.trouble), *untold)
    emit(
        form,
        "Status",
        [with_next_drill(status_item(row, now), found.exercises) for row in found.rows],
        name="component",
        table=lambda wide: show(status_sheet(found.rows, now, wide=wide, notes=below)),
        catalogue_age_s=age_s,
        frozen_since=when(found.frozen.at) if found.frozen else None,
        trouble=[*found.trouble, *untold],
        drills=[exercise_item(one) for one in found.exercises],
        sla_credit=risk_item(found.at_risk),
    )
    if found.missed:
        ctx.exit(6)
