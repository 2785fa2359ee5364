"""What a restore is narrowed to: `--tenant`, `--namespace`, `--map`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dr.cli.common import F

if TYPE_CHECKING:
    from dr.app.overlive import Scope

_META = "dr.restore.scope"


def scope_options(command: F) -> F:
    """Kept with the invocation, so that planning finds them wherever it is called."""
    tenant = click.option(
        "--tenant",
        metavar="T",
        expose_value=False,
        callback=_keep,
        help="Only this tenant's namespaces and documents; nothing of the others is touched.",
    )
    namespace = click.option(
        "--namespace",
        "namespaces",
        multiple=True,
        metavar="N",
        expose_value=False,
        callback=_keep,
        help="Only this namespace; repeatable.",
    )
    mapped = click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="OLD=NEW",
        expose_value=False,
        callback=_keep,
        help="Restore namespace OLD as the new namespace NEW; repeatable.",
    )
    return tenant(namespace(mapped(command)))


def _keep(ctx: click.Context, option: click.Parameter, value: object) -> object:
    ctx.meta.setdefault(_META, {})[option.name] = value
    return value


def scope_of(ctx: click.Context | None = None) -> Scope:
    """Raises DrError USAGE for a mapping that is none."""
    from dr.app.overlive import Scope

    found = (ctx or click.get_current_context()).meta.get(_META, {})
    return Scope(found.get("tenant") or "", tuple(found.get("namespaces", ())), _mapped(found.get("maps", ())))


def _mapped(pairs: tuple[str, ...]) -> dict[str, str]:
    from dr.errors import USAGE, DrError

    found: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old and equals and new) or old in found or new in found.values():
            raise DrError(USAGE, f"--map {pair}: write OLD=NEW, each name once")
        found[old] = new
    return found
