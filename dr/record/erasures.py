"""The erasure ledger in the control repository: `erasures/<instant>-<nonce>.json`, create-only. Nothing is ever taken back."""

from __future__ import annotations

import secrets
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from dr.model.erasure import Erasure, Subject
from dr.model.timeline import compact_instant
from dr.ports import ObjectStore
from dr.record.codec import decode, encode

PREFIX = "erasures/"


def add_erasure(control: ObjectStore, subject: Subject, now: datetime, by: str, why: str) -> Erasure:
    """Raises DrError UNREACHABLE, NOT_AUTHORISED."""
    made = Erasure(f"{compact_instant(now)}-{secrets.token_hex(3)}", subject, now, by, why)
    control.put(f"{PREFIX}{made.id}.json", encode(made))
    return made


def read_erasures(control: ObjectStore) -> tuple[Erasure, ...]:
    """Oldest first. Raises DrError DAMAGED, NEWER_FORMAT, UNREACHABLE: a ledger that cannot be read stops what needs it."""
    names = [info.name for info in control.list(PREFIX)]
    with ThreadPoolExecutor(8, thread_name_prefix="erasures") as pool:
        return tuple(pool.map(lambda name: decode(control.get(name), Erasure, f"{control.url}/{name}"), names))
