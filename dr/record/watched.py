"""What `dr status` knows besides the points, in one local file: the ends of change logs, what drills have proven, a freeze.

Thrown away at will; its age is shown. Reports of drills never change, so those that were read once are not read again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from dr.model.ids import SourceId
from dr.model.points import Coverage
from dr.model.retention import FreezeRecord
from dr.plan.proof import DrillLine, DrillMark, Proof
from dr.record.nouns import domain, source_id, verdict
from dr.record.shapes import (
    boolean,
    by_name,
    details,
    duration,
    instant,
    integer,
    later,
    many,
    number,
    optional,
    record,
    text,
)

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class LogTail:
    """Where a change log was seen to end; `whole`: when it was last listed from its beginning."""

    source: SourceId
    seq: int
    sha256: str
    whole: datetime


@dataclass(frozen=True, slots=True)
class Watched:
    """As it was read at `read`."""

    read: datetime
    coverage: tuple[Coverage, ...] = ()
    proofs: tuple[Proof, ...] = ()
    drills: tuple[DrillLine, ...] = ()
    """The newest ones, newest first."""
    seen: tuple[str, ...] = ()
    """Drills whose reports are in the proofs."""
    holds: Mapping[str, int] = field(default_factory=dict)
    """Points on hold, by source."""
    frozen: FreezeRecord | None = None
    trouble: tuple[str, ...] = ()
    """One sentence for each thing that could not be asked."""
    tails: tuple[LogTail, ...] = ()


_mark = record(
    DrillMark,
    drill=text,
    at=instant,
    component=text,
    domain=domain,
    source=text,
    verdict=verdict,
    kept=boolean,
    instant=optional(instant),
    recovery_s=optional(number),
)
_coverage = record(
    Coverage,
    source=source_id,
    method=text,
    start=instant,
    end=instant,
    granularity=duration,
    survives=many(domain),
    details=details,
)
_watched = record(
    Watched,
    read=instant,
    coverage=many(_coverage),
    tails=many(record(LogTail, source=source_id, seq=integer, sha256=text, whole=instant)),
    proofs=many(record(Proof, last=_mark, proven=optional(_mark))),
    drills=many(
        record(
            DrillLine,
            id=text,
            scenario=text,
            scope=text,
            at=instant,
            passed=boolean,
            rows=integer,
            ended=later(text, ""),
            reason=later(text, ""),
            by=later(text, ""),
        )
    ),
    seen=many(text),
    holds=by_name(integer),
    frozen=optional(record(FreezeRecord, number=integer, on=boolean, at=instant, by=text, reason=text)),
    trouble=many(text),
)


def save(path: Path, watched: Watched) -> None:
    """Whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    body = {"format": _FORMAT, "watched": _watched.write(watched)}
    temporary.write_text(json.dumps(body, separators=(",", ":")))
    temporary.replace(path)


def load(path: Path) -> Watched | None:
    """None when there is no file, or not one that can be read: then the stores are asked."""
    try:
        body = json.loads(path.read_bytes())
        return _watched.read(body["watched"], "watched") if body["format"] == _FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
