"""`--declare`: what a recovery also takes, and `dr` cannot measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from dr.errors import USAGE, DrError
from dr.model.plans import DeclaredStep
from dr.model.timeline import parse_duration

F = TypeVar("F", bound=Callable[..., Any])

declare_option = click.option(
    "--declare",
    "declares",
    multiple=True,
    metavar="STEP=SPAN",
    help="Time that recovery takes outside of dr, counted as said: 'cluster creation=25m'; repeatable.",
)


def declared_of(values: Sequence[str]) -> tuple[DeclaredStep, ...]:
    """Raises DrError USAGE."""
    return tuple(map(_one, values))


def _one(text: str) -> DeclaredStep:
    name, _, span = text.rpartition("=")
    try:
        took = parse_duration(span.strip())
    except ValueError as error:
        raise DrError(
            USAGE, f"--declare {text}: {error}", hint="for example --declare 'cluster creation=25m'"
        ) from None
    if not name.strip():
        raise DrError(USAGE, f"--declare {text}: say what takes so long", hint="--declare 'cluster creation=25m'")
    return DeclaredStep(name.strip(), took)
