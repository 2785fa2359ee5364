"""`dr points`: the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dr.cli.common import (
    component_option,
    components_of,
    emit,
    emit_document,
    next_command,
    output_option,
    span_of,
    the_app,
)
from dr.cli.points_hold import hold_command, release_command
from dr.cli.points_prune import command as prune_command

if TYPE_CHECKING:
    from dr.app.core import App
    from dr.model.points import PointSummary


@click.group("points")
def command() -> None:
    """List, show, verify, hold, release, prune and rebuild recovery points."""


for subcommand in (hold_command, release_command, prune_command):
    command.add_command(subcommand)


@command.command("list")
@component_option
@click.option("--fresh", is_flag=True, help="List the vaults instead of using the local cache.")
@output_option()
@click.pass_context
def list_command(ctx: click.Context, components: tuple[str, ...], fresh: bool, form: str) -> None:
    """All recovery points, oldest first."""
    from dr.app.holding import keeping
    from dr.app.overview import catalogue, points_of
    from dr.report.envelope import point_item
    from dr.report.retention import kept_item, kept_words
    from dr.report.screen import show
    from dr.report.tables import points_sheet

    app = the_app(ctx)
    names = components_of(components)
    app.rows(names)
    points = points_of(catalogue(app, fresh=fresh), names)
    known = keeping(app, names)
    items = [{**point_item(point), **kept_item(point.name, known.holds, known.condemned)} for point in points]
    kept, notes = kept_words(known.holds, known.condemned), [known.unknown] if known.unknown else []
    emit(
        form,
        "RecoveryPoint",
        items,
        name="name",
        table=lambda wide: show(points_sheet(points, app.clock.now(), wide=wide, kept=kept, notes=notes)),
        notes=notes,
    )


@command.command("show")
@click.argument("name")
@output_option()
@click.pass_context
def show_command(ctx: click.Context, name: str, form: str) -> None:
    """One recovery point: its manifest as it is stored. NAME is a slot or a manifest's name."""
    from dr.app.holding import keeping
    from dr.record.catalogue import read_point
    from dr.record.codec import to_json
    from dr.report.envelope import envelope
    from dr.report.retention import kept_item

    app = the_app(ctx)
    summary = one_point(app, name)
    point = read_point(app.vault(summary.source.component), summary)
    known = keeping(app, (summary.source.component,))
    item = {
        **to_json(point.manifest),
        "name": point.ref.name,
        "generation": point.ref.generation,
        "sha256": point.ref.sha256,
        **kept_item(point.ref.name, known.holds, known.condemned),
    }
    if form == "name":
        click.echo(point.ref.name)
    else:
        emit_document("json" if form == "json" else "yaml", envelope("RecoveryPoint", [item]))


@command.command("verify")
@click.argument("names", nargs=-1)
@component_option
@click.option("--since", metavar="SPAN", help="Only points committed within this time: 8d, 36h.")
@output_option()
@click.pass_context
def verify_command(
    ctx: click.Context, names: tuple[str, ...], components: tuple[str, ...], since: str | None, form: str
) -> None:
    """Read points back, every byte and item, and compare with their manifests (default: all points).

    Exit 7 when a point is not what it promises; each damaged artefact is named.
    """
    from dr.app.verification import verify_points
    from dr.report.results import verification_item, verifications_sheet
    from dr.report.screen import show

    app = the_app(ctx, "restore")
    oldest = app.clock.now() - span_of(since, "--since") if since else None
    chosen = [one_point(app, name) for name in names] if names else list(fresh_points(app, components_of(components)))
    chosen = [point for point in chosen if oldest is None or point.committed >= oldest]
    results = verify_points(app, chosen)
    items = list(map(verification_item, results))
    emit(form, "Verification", items, name="name", table=lambda wide: show(verifications_sheet(results, wide=wide)))
    if not all(result.passed for result in results):
        ctx.exit(7)


@command.command("rebuild")
@output_option()
@click.pass_context
def rebuild_command(ctx: click.Context, form: str) -> None:
    """Throw the local cache away and build the catalogue anew from the manifests themselves.

    Exit 7 when a manifest cannot be read or a listing told otherwise than its manifest; each is named.
    """
    from dr.app.verification import rebuild_all
    from dr.report.results import rebuilt_item, rebuilt_sheet
    from dr.report.screen import show

    app = the_app(ctx)
    results = rebuild_all(app)
    items = [rebuilt_item(url, len(r.points), r.differences, r.damaged) for url, r in results.items()]
    emit(form, "Rebuild", items, name="vault", table=lambda _: show(rebuilt_sheet(items)))
    if any(result.differences or result.damaged for result in results.values()):
        ctx.exit(7)
    next_command("dr points list", "shows the catalogue")


def fresh_points(app: App, components: tuple[str, ...]) -> tuple[PointSummary, ...]:
    """Listed now."""
    from dr.app.overview import catalogue, points_of

    app.rows(components)
    return points_of(catalogue(app, fresh=True), components)


def one_point(app: App, name: str) -> PointSummary:
    """By slot or manifest name. Raises DrError NOT_FOUND."""
    from dr.errors import NOT_FOUND, DrError

    for point in fresh_points(app, ()):
        if name in (point.name, point.slot.id):
            return point
    raise DrError(NOT_FOUND, f"there is no recovery point {name!r}", hint="`dr points list -o name` lists them")
