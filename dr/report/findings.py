"""What `dr check` found: grouped, and below it what to do about each thing that is not as it should be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dr.model.findings import Finding, Level
from dr.plan.advice import advice, book
from dr.report.envelope import Item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of

SHOWN = 4
"""Names of fine checks before the rest is counted."""
_TONES = {Level.OK: Tone.GOOD, Level.WARN: Tone.WARN, Level.FAIL: Tone.BAD}


def finding_item(finding: Finding) -> Item:
    return {
        "group": finding.group,
        "name": finding.name,
        "level": finding.level.name.lower(),
        "passed": finding.passed,
        "detail": finding.detail,
        "advice": advice(finding) or None,
        "runbook": book(finding) if finding.level is not Level.OK else None,
    }


def findings_sheet(findings: Sequence[Finding], *, wide: bool = False) -> Sheet:
    """By group. What is fine is one line for its group; `wide`: a line for each."""
    columns = columns_of("group", "result", "check", "detail")
    return Sheet(columns, tuple(_rows(findings, wide)), tuple(_notes(findings)), empty="nothing was checked")


def _rows(findings: Sequence[Finding], wide: bool) -> Iterator[tuple[Cell, ...]]:
    for group in dict.fromkeys(one.group for one in findings):
        title = group
        for one in _folded([one for one in findings if one.group == group], wide):
            yield cell(title), cell(one.level, _TONES[one.level]), cell(one.name), cell(one.detail)
            title = ""


def _folded(findings: Sequence[Finding], wide: bool) -> Iterator[Finding]:
    fine = [one for one in findings if one.level is Level.OK]
    if wide:
        yield from findings
        return
    if fine:
        names = "; ".join(one.name for one in fine[:SHOWN]) + (f" and {len(fine) - SHOWN} more" if fine[SHOWN:] else "")
        count = f"{len(fine)} checks" if len(fine) > 1 else fine[0].name
        yield replace(fine[0], name=count, detail=names if len(fine) > 1 else fine[0].detail)
    yield from (one for one in findings if one.level is not Level.OK)


def _notes(findings: Sequence[Finding]) -> Iterator[str]:
    """Failures first; each topic's advice once."""
    for level in (Level.FAIL, Level.WARN):
        said: set[str] = set()
        for one in findings:
            if one.level is level:
                if one.topic not in said:
                    yield f"{one.level}: {one.topic}: {advice(one)} (dr runbook show {book(one)})"
                said.add(one.topic)
    failed = sum(one.level is Level.FAIL for one in findings)
    warned = sum(one.level is Level.WARN for one in findings)
    yield f"{len(findings)} checks, {failed} failed, {warned} warned"
