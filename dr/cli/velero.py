"""`dr velero`: Velero in a cluster that has none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dr.cli.common import next_command, the_app

if TYPE_CHECKING:
    from dr.components.cluster.bootstrap import Install

bucket_option = click.option(
    "--bucket", default="", metavar="NAME", help="Velero's bucket (default: as the points remember)."
)
account_option = click.option(
    "--service-account", "account", default="", metavar="EMAIL", help="Google service account that Velero stands for."
)


@click.group("velero")
def command() -> None:
    """Set Velero up in a cluster that has none, as the newest cluster point remembers it."""


@command.command("manifests")
@bucket_option
@account_option
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write them to this new file.")
@click.pass_context
def manifests_command(ctx: click.Context, bucket: str, account: str, out: Path | None) -> None:
    """Print what would be applied, for `kubectl apply --server-side -f -`."""
    import yaml

    from dr.app.recovery import velero_of_points
    from dr.cli.restoring import write_new
    from dr.components.cluster.bootstrap import manifests

    text = yaml.safe_dump_all(manifests(velero_of_points(the_app(ctx, "restore"), bucket, account)), sort_keys=False)
    if out:
        write_new(out, text.encode())
    else:
        click.echo(text, nl=False)


@command.command("bootstrap")
@bucket_option
@account_option
@click.option("--auto-approve", is_flag=True, help="Do not ask.")
@click.pass_context
def bootstrap_command(ctx: click.Context, bucket: str, account: str, auto_approve: bool) -> None:
    """Apply Velero to the cluster of the restore identity, and wait until it has found its bucket.

    Refused where somebody else's Velero is. Whoever runs it must be an administrator of that cluster.
    """
    from dr.app.recovery import set_up_velero, velero_of_points

    app = the_app(ctx, "restore")
    wanted = velero_of_points(app, bucket, account)
    click.echo(f"cluster   {app.kubernetes.version()} at {app.kubernetes.host}")
    show(wanted)
    if not auto_approve:
        approve()
    for line in set_up_velero(app, wanted):
        click.echo(line)
    next_command("dr check --pre", "looks at what a restore needs")


def show(wanted: Install) -> None:
    """What is about to be applied."""
    click.echo(f"velero    {wanted.image} in namespace {wanted.namespace}, plugins {', '.join(wanted.plugins)}")
    click.echo(f"location  {wanted.location}: gs://{wanted.bucket}")
    click.echo(f"identity  {wanted.account or 'that of the nodes'}")


def approve() -> None:
    """Raises DrError USAGE when the answer is not a literal yes."""
    from dr.errors import USAGE, DrError

    click.echo("Only 'yes' will be accepted to set Velero up in this cluster.")
    if click.prompt("Apply", default="", show_default=False) != "yes":
        raise DrError(USAGE, "not approved; nothing was changed")
