"""`dr config`: what the log of the configuration tells. Values of Secrets are never printed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from dr.cli.common import F, emit, instant_of, output_option, the_app

if TYPE_CHECKING:
    from datetime import datetime

    from dr.app.configuration import Match


@click.group("config")
def command() -> None:
    """Configuration objects as they were: their history, a state, the difference of two."""


def match_options(wrapped: F) -> F:
    """Which objects of which source."""
    options: tuple[Callable[[F], F], ...] = (
        click.option("--namespace", default="", metavar="N", help="Only there; `-`: what has no namespace."),
        click.option("--kind", default="", metavar="K", help="Only this kind: configmaps, deployments.apps..."),
        click.option("--source", default="", metavar="S", help="Which source of the row, if it has several."),
    )
    for option in options:
        wrapped = option(wrapped)
    return wrapped


@command.command("history")
@click.argument("name", default="")
@match_options
@click.option("--since", metavar="T", help="RFC 3339 instant; default: the beginning of the log.")
@click.option("--until", metavar="T", help="RFC 3339 instant; default: now.")
@output_option()
@click.pass_context
def history_command(
    ctx: click.Context,
    name: str,
    namespace: str,
    kind: str,
    source: str,
    since: str | None,
    until: str | None,
    form: str,
) -> None:
    """Every change that was seen, oldest first, and where it changed the object. NAME: of an object."""
    from dr.app.configuration import changes, source_of
    from dr.report.configuration import history_sheet
    from dr.report.screen import show

    begin, end = instant_of(since, "--since"), instant_of(until, "--until")
    app = the_app(ctx, "restore")
    items = list(changes(app, source_of(app, source), matching(name, namespace, kind), begin, end))
    emit(form, "ConfigChange", items, name="name", table=lambda _: show(history_sheet(items)))


@command.command("show")
@click.argument("name", default="")
@match_options
@click.option("--at", metavar="T", help="RFC 3339 instant; default: the end of the log.")
@output_option()
@click.pass_context
def show_command(
    ctx: click.Context, name: str, namespace: str, kind: str, source: str, at: str | None, form: str
) -> None:
    """Objects as they were at an instant, as manifests. The data of a Secret stays sealed."""
    from dr.app.configuration import shown, source_of

    app = the_app(ctx, "restore")
    items = shown(app, source_of(app, source), matching(name, namespace, kind), instant_of(at, "--at"))
    emit(form, "ConfigObject", items, name="name", table=lambda _: manifests([item["object"] for item in items]))


@command.command("diff")
@click.argument("name", default="")
@match_options
@click.option("--from", "start", metavar="T", required=True, help="RFC 3339 instant.")
@click.option("--to", "end", metavar="T|live", default="live", show_default=True, help="RFC 3339 instant, or `live`.")
@output_option()
@click.pass_context
def diff_command(
    ctx: click.Context, name: str, namespace: str, kind: str, source: str, start: str, end: str, form: str
) -> None:
    """What is different between two instants, or between one and the living cluster. Exit 0: nothing, 1: something, else an
    error."""
    from dr.app.configuration import diff, source_of
    from dr.cli.main import explain
    from dr.errors import DrError, Exit
    from dr.report.configuration import diff_sheet
    from dr.report.screen import show

    try:
        app = the_app(ctx, "restore")
        first, second = required(start, "--from"), None if end == "live" else required(end, "--to")
        items = diff(app, source_of(app, source), matching(name, namespace, kind), first, second)
    except DrError as error:
        explain(error)
        ctx.exit(max(int(error.kind.exit), int(Exit.USAGE)))  # 1 says that something differs
    emit(form, "ConfigDifference", items, name="name", table=lambda wide: show(diff_sheet(items, wide=wide)))
    if items:
        ctx.exit(1)


def matching(name: str, namespace: str, kind: str) -> Match:
    from dr.app.configuration import Match

    return Match(name, namespace, kind)


def required(text: str, option: str) -> datetime:
    found = instant_of(text, option)
    assert found is not None
    return found


def manifests(objects: list[object]) -> str:
    import yaml

    return yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True)
