"""`dr schedules`: what runs dr in a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import emit, next_command, output_option, the_app

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.schedules.render import Order


@click.group("schedules")
def command() -> None:
    """The service, CronJobs and identities that a cluster needs, rendered from the strategy."""


@command.command("render")
@click.option(
    "--overlay",
    type=click.Choice(["service", "cronjobs", "both"]),
    default="service",
    show_default=True,
    help="Who captures: the service, CronJobs, or both.",
)
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Write a kustomize tree here (all overlays)."
)
@click.option("--namespace", default="dr-system", show_default=True, help="Where dr runs.")
@click.option("--project", default="", help="Of the Google service accounts dr-capture, dr-restore, dr-prune.")
@click.option("--image", default="dr", show_default=True, help="The image, as a reference.")
@click.option("--measured", is_flag=True, help="Cadences from measured durations (reads the vaults), as `dr plan`.")
@output_option()
@click.pass_context
def render_command(
    ctx: click.Context,
    overlay: str,
    out: Path | None,
    namespace: str,
    project: str,
    image: str,
    measured: bool,
    form: str,
) -> None:
    """Render manifests: to standard output as YAML for `kubectl apply -f -`, or with --out as a kustomize tree.

    The same strategy and settings give the same files. Overlays of your own beside the rendered ones are left alone.
    """
    from dr.app.deploying import order_of
    from dr.schedules.pods import Cluster
    from dr.schedules.render import flat

    app = the_app(ctx)
    cluster = Cluster(namespace, app.settings.velero.namespace, project or project_of(app), image)
    order = order_of(app, cluster, strategy_text(ctx, app), measured=measured)
    if out is not None:
        write(order, out)
    if out is None and form == "table":
        click.echo(flat(order, overlay), nl=False)
        return
    show_jobs(order, overlay, form)
    if out is not None:
        next_command(f"kubectl apply -k {out}/overlays/{overlay}", "once the images and addresses in it are yours")


def project_of(app: App) -> str:
    """The vaults' project: the identities live with what they guard."""
    from dr.schedules.pods import Cluster

    named = [vault.project for vault in app.settings.vaults.values() if vault.project]
    return named[0] if named else Cluster().project


def strategy_text(ctx: click.Context, app: App) -> str:
    """The file as it was written, comments included."""
    from dr.strategy import default_strategy_text

    path = Path(ctx.obj["strategy"]) if ctx.obj["strategy"] else app.settings.strategy
    return path.read_text(encoding="utf-8") if path else default_strategy_text()


def write(order: Order, out: Path) -> None:
    """Each file replaced; others are left alone. Raises DrError TARGET_EXISTS when a file stands where a folder must."""
    from dr.errors import TARGET_EXISTS, DrError
    from dr.schedules.render import files

    for name, text in files(order).items():
        path = out / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise DrError(TARGET_EXISTS, f"{path} cannot be written: {error.strerror}") from None


def show_jobs(order: Order, overlay: str, form: str) -> None:
    """One line for each CronJob of the overlay."""
    from dr.app.rendered import job_item, jobs_sheet
    from dr.report.screen import show
    from dr.schedules.render import OVERLAYS, jobs_of

    jobs = [job for component in OVERLAYS[overlay] for job in jobs_of(order, component)]
    items = list(map(job_item, jobs))
    emit(form, "CronJob", items, name="name", table=lambda wide: show(jobs_sheet(jobs, wide=wide)))
