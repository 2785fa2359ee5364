"""Stepping through a runbook, recorded: in a file at once, in the control repository at the end."""

from __future__ import annotations

import getpass
import platform
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from dr import __version__
from dr.app.core import App
from dr.errors import CONFIGURATION, DrError
from dr.model.runbooks import RunbookRun
from dr.model.strategy import Strategy
from dr.model.timeline import compact_instant
from dr.record.codec import encode
from dr.runbook.pages import Page
from dr.settings import load_settings

BASE = "runbooks/"


def begun(page: Page, now: datetime, environment: Mapping[str, str]) -> RunbookRun:
    """A record with no step yet."""
    run_id = f"{page.name}-{compact_instant(now.replace(microsecond=0))}-{secrets.token_hex(2)}"
    variables = {name: environment.get(name, "") for name in page.variables}
    who = f"{getpass.getuser()}@{platform.node()}"
    return RunbookRun(run_id, page.name, page.sha256, __version__, who, now, now, variables)


def keep_here(path: Path, run: RunbookRun) -> None:
    """Whole, after every step. Raises DrError CONFIGURATION when the file cannot be written."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.write_bytes(encode(run))
        temporary.replace(path)
    except OSError as error:
        raise DrError(CONFIGURATION, f"cannot write the record {path}: {error.strerror}") from None


def keep_in_control(run: RunbookRun, environment: Mapping[str, str]) -> str:
    """Where it is kept now. The settings are those that the blocks saw: on a fresh laptop they came with the first ones.
    Raises DrError CONFIGURATION where there are none, and as the store does."""
    config = environment.get("DR_CONFIG")
    settings = load_settings(Path(config) if config else None, environment)
    control = App(settings, Strategy("", ()), "restore").control
    name = f"{BASE}{run.id}.json"
    control.put(name, encode(run))
    return f"{control.url}/{name}"
