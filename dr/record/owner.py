"""Who holds a claim, and whether that process is known to be dead (so that nobody waits for its claim to expire)."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

_FIELDS = 6


def new_owner(boot_id: str) -> str:
    """`host/pid-namespace/pid/start/boot/nonce` of this process; unique for each claim."""
    pid = os.getpid()
    nonce = secrets.token_hex(4)
    return "/".join((socket.gethostname(), _namespace(), str(pid), _started(pid) or "-", boot_id, nonce))


def is_dead(owner: str, boot_id: str) -> bool:
    """True only when certain: same host, boot and pid namespace, and no such process (or a younger one) there."""
    parts = owner.split("/")
    if len(parts) != _FIELDS:
        return False
    host, namespace, pid, started, boot, _ = parts
    here = (socket.gethostname(), _namespace(), boot_id)
    # without /proc nothing is certain: then the claim runs out by itself
    if (host, namespace, boot) != here or started == "-" or not pid.isdigit():
        return False
    return _started(int(pid)) != started


def describe(owner: str) -> str:
    """In a sentence: `process 4711 on host`."""
    parts = owner.split("/")
    return f"process {parts[2]} on {parts[0]}" if len(parts) == _FIELDS else owner


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "-"


def _started(pid: int) -> str | None:
    """Start of a living process in clock ticks since boot: a pid may be reused, this pair is not. None: gone, or a zombie."""
    with suppress(OSError):
        # the command in brackets may contain anything, so count from its end
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in {"Z", "X"} else fields[19]
    return None
