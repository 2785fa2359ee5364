"""A strategy that was read and found good once, kept under the hash of its bytes: reading it again needs neither pydantic
nor a YAML parser, which cost more than all the rest of `dr status`. Thrown away at will."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from dr import __version__
from dr.model.ids import SourceId
from dr.model.strategy import (
    Credit,
    DeclaredSize,
    FailureDomain,
    Frequency,
    Keep,
    Objective,
    Place,
    SourceSpec,
    Strategy,
)

SHAPE = f"{__version__}-4"
"""Of what is kept here; what another version kept is not read."""


def recall(folder: Path, sha256: str) -> Strategy | None:
    """The strategy with these bytes, or None when it is not (or not whole) there."""
    try:
        body = json.loads(_file(folder, sha256).read_bytes())
        return _strategy(body["strategy"], sha256) if (body["shape"], body["sha256"]) == (SHAPE, sha256) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember(folder: Path, strategy: Strategy) -> None:
    """Whole or not at all; a folder that cannot be written makes nothing wrong, only slower."""
    body = {"shape": SHAPE, "sha256": strategy.sha256, "strategy": _plain(strategy)}
    path = _file(folder, strategy.sha256)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(body))
        temporary.replace(path)


def _file(folder: Path, sha256: str) -> Path:
    return folder / f"strategy-{sha256[:16]}.json"


def _plain(strategy: Strategy) -> Mapping[str, object]:
    rows = [
        {
            "component": row.component,
            "frequency": str(row.frequency),
            "seconds": [value.total_seconds() for value in (row.retention, row.rto, row.rpo)],
            "domains": [str(domain) for domain in row.domains],
            "sources": [_plain_source(spec) for spec in row.sources],
            "keep": [row.keep.daily, row.keep.weekly, row.keep.monthly, row.keep.yearly],
        }
        for row in strategy.objectives
    ]
    credits = [[one.rto_at_least.total_seconds(), one.percent] for one in strategy.credits]
    head = {"name": strategy.name, "margin": strategy.margin, "prices": dict(strategy.prices)}
    return {**head, "credits": credits, "rows": rows}


def _plain_source(spec: SourceSpec) -> Mapping[str, object]:
    place, size = [spec.place.project, spec.place.location], spec.size and [spec.size.bytes, spec.size.objects]
    return {"id": str(spec.id), "place": place, "options": dict(spec.options), "size": size}


def _strategy(body: Mapping[str, Any], sha256: str) -> Strategy:
    rows = tuple(_row(row) for row in body["rows"])
    credits = tuple(Credit(timedelta(seconds=seconds), percent) for seconds, percent in body["credits"])
    return Strategy(body["name"], rows, body["margin"], sha256, body["prices"], credits)


def _row(row: Mapping[str, Any]) -> Objective:
    retention, rto, rpo = (timedelta(seconds=value) for value in row["seconds"])
    domains = tuple(map(FailureDomain, row["domains"]))
    sources = tuple(
        SourceSpec(
            SourceId.parse(one["id"]),
            Place(*one["place"]),
            one["options"],
            DeclaredSize(*one["size"]) if one["size"] else None,
        )
        for one in row["sources"]
    )
    return Objective(
        row["component"], Frequency(row["frequency"]), retention, rto, rpo, domains, sources, Keep(*row["keep"])
    )
