"""Format 1 of a mutation campaign."""

from __future__ import annotations

from dr.model.mutations import Campaign, Trial
from dr.record.shapes import boolean, instant, integer, many, number, record, text

campaign = record(
    Campaign,
    id=text,
    seed=integer,
    begun=instant,
    components=many(text),
    faults=many(text),
    clean=integer,
    tool_version=text,
)
trial = record(
    Trial,
    fault=text,
    component=text,
    what=text,
    forged=boolean,
    point=text,
    hit=many(text),
    good=boolean,
    verdict=text,
    said=many(text),
    drill=text,
    seconds=number,
    planted=boolean,
)
