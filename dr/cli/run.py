"""`dr run`: the service."""

from __future__ import annotations

import signal
from contextlib import nullcontext

import click

from dr.cli.common import the_app


@click.command("run")
@click.option(
    "--every", "tick_s", type=click.FloatRange(min=0.2), default=15.0, show_default=True, help="Seconds between looks."
)
@click.option("--once", is_flag=True, help="Capture what is due now and end.")
@click.pass_context
def command(ctx: click.Context, tick_s: float, once: bool) -> None:
    """Capture every source on the cadence that its row needs, and follow the continuous ones, until SIGTERM: then the running
    step is finished and journalled. A second SIGTERM parks inside the step.

    Each first slot runs at once. The run journal decides what is due; the process itself remembers nothing. With `lease.name`
    in the settings one of several replicas works at a time. Logs are JSON lines.
    """
    from dr.app.service import service_parts
    from dr.app.watching import Watching
    from dr.run.logs import json_log
    from dr.run.service import Service

    app = the_app(ctx)
    watching = None if once else Watching(app, json_log())
    service = Service(service_parts(app, watching, lambda error: service.cannot_lead(error)), tick_s)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: service.stop())
    with watching or nullcontext():
        code = service.once() if once else service.run()
    ctx.exit(code)
