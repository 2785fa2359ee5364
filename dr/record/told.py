"""What one channel was told, in a local file: a service that is restarted does not say it all again. Thrown away at will."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dr.plan.tell import Told
from dr.record.shapes import by_name, instant, optional, record, text

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Failure:
    """The channel does not take messages: since when, and what it last answered."""

    since: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """Of one channel."""

    told: Mapping[str, Told] = field(default_factory=dict)
    failure: Failure | None = None


_ledger = record(
    Ledger,
    told=by_name(record(Told, state=text, since=instant, over=text, gone=optional(instant))),
    failure=optional(record(Failure, since=instant, message=text)),
)


def load_ledger(path: Path) -> Ledger:
    """An empty one when there is no file, or not one that can be read."""
    try:
        body = json.loads(path.read_bytes())
        return _ledger.read(body["ledger"], "ledger") if body["format"] == _FORMAT else Ledger()
    except (OSError, ValueError, KeyError, TypeError):
        return Ledger()


def save_ledger(path: Path, ledger: Ledger) -> None:
    """Whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps({"format": _FORMAT, "ledger": _ledger.write(ledger)}))
    temporary.replace(path)


def ledger_file(folder: Path, channel: str) -> Path:
    return folder / f"told-{channel}.json"
