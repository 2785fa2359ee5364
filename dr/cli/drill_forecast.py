"""`dr drill forecast`."""

from __future__ import annotations

import click

from dr.cli.common import component_option, components_of, emit, output_option, the_app
from dr.cli.declared import declare_option, declared_of


@click.command("forecast")
@component_option
@declare_option
@output_option()
@click.pass_context
def forecast_command(ctx: click.Context, components: tuple[str, ...], declares: tuple[str, ...], form: str) -> None:
    """What recovery is expected to take at production's size (`declaredSize` in the strategy), against each RTO.

    From all drills and restores under the present version, method and region. Exit 6: a 95 % bound is not under its RTO.
    """
    from dr.app.forecasting import forecast
    from dr.errors import Exit
    from dr.model.forecast import Outlook
    from dr.report.forecasts import forecast_item, forecasts_sheet
    from dr.report.screen import show

    found = forecast(the_app(ctx, "restore"), components_of(components), declared_of(declares))
    items = [forecast_item(one) for one in found]
    emit(form, "Forecast", items, name="source", table=lambda wide: show(forecasts_sheet(found, wide=wide)))
    if any(one.outlook is Outlook.BEYOND for one in found):
        ctx.exit(int(Exit.OBJECTIVE_MISSED))
