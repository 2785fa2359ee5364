"""Whether what a drill made may be removed by somebody else. Pure."""

from __future__ import annotations

from datetime import datetime

from dr.model.reaping import SANDBOX_LIFE, Sandbox
from dr.model.timeline import format_instant


def spared(sandbox: Sandbox, now: datetime, *, named: bool = False) -> str:
    """Why it is left alone; empty: it may be reaped. Who names a drill need not wait for its expiry, but for its owner."""
    if sandbox.torn_down:
        return "it took away what it made"
    if sandbox.alive_until is not None and sandbox.alive_until > now:
        return f"somebody works on it, at least until {format_instant(sandbox.alive_until)}"
    expires = sandbox.begun + SANDBOX_LIFE
    if not named and expires > now:
        return f"it expires at {format_instant(expires)}"
    return ""
