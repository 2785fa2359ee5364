"""What all commands share: output forms, the app they call, progress."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from dr.errors import USAGE, DrError
from dr.model.timeline import parse_duration, parse_instant

if TYPE_CHECKING:
    from dr.app.core import App, Role
    from dr.ports import Listener

F = TypeVar("F", bound=Callable[..., Any])
FORMS = ("table", "wide", "json", "yaml", "name")


def output_option(*more: str) -> Callable[[F], F]:
    """`-o`, on every command; `more` are forms that only this command has."""
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice((*FORMS, *more)),
        default="table",
        show_default=True,
        help="Output form.",
    )


def the_app(ctx: click.Context, role: Role = "capture", listener: Listener | None = None) -> App:
    """The app of this command line. Raises DrError CONFIGURATION."""
    from dr.app.core import open_app, silent

    return open_app(ctx.obj["config"], ctx.obj["strategy"], role, listener or silent)


def emit(
    form: str,
    kind: str,
    items: Sequence[Mapping[str, object]],
    *,
    name: str,
    table: Callable[[bool], str],
    **more: object,
) -> None:
    """Print `items`: under the versioned envelope (json, yaml), their `name` field a line each, or as `table(wide)`."""
    if form in ("json", "yaml"):
        from dr.report.envelope import envelope

        emit_document(form, envelope(kind, items, **more))
    elif form == "name":
        for item in items:
            click.echo(str(item[name]))
    else:
        click.echo(table(form == "wide").rstrip("\n"))


def told_frozen(app: App, form: str, kind: str, name: str, done: str) -> bool:
    """For what a clock starts: whether it is frozen, and then said so in one line; an empty list for programs."""
    from dr.record.freeze import frozen, in_words

    freeze = frozen(app.control)
    if freeze is None:
        return False
    line = f"nothing was {done}: {in_words(freeze)}"
    emit(form, kind, [], name=name, table=lambda _: line, frozen=in_words(freeze))
    return True


def emit_document(form: str, document: Mapping[str, object]) -> None:
    """A whole envelope as JSON or YAML."""
    if form == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        import yaml

        click.echo(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, allow_unicode=True).rstrip())


def instant_of(text: str | None, option: str) -> datetime | None:
    """Raises DrError USAGE naming the option."""
    if text is None:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise DrError(USAGE, f"{option}: {error}") from None


def span_of(text: str, option: str) -> timedelta:
    """Raises DrError USAGE naming the option."""
    try:
        return parse_duration(text)
    except ValueError as error:
        raise DrError(USAGE, f"{option}: {error}") from None


def next_command(line: str, why: str) -> None:
    """The command that a person would want next; only for people."""
    if sys.stdout.isatty() or os.environ.get("DR_HINTS"):
        click.secho(f"next: {line}   ({why})", err=True, dim=True)


def components_of(values: Iterable[str]) -> tuple[str, ...]:
    """`--component a --component b` and `a,b` mean the same."""
    return tuple(part for value in values for part in value.split(",") if part)


component_option = click.option(
    "--component", "components", multiple=True, metavar="C", help="Only this row; repeatable."
)
