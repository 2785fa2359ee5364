"""Rows about which there is nothing to say share a line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dr.model.evidence import DrillRow, Verdict


def folded(rows: Sequence[DrillRow]) -> Iterable[tuple[DrillRow, str]]:
    """Domains of one component about which there is nothing to say share a line."""
    lines: list[tuple[DrillRow, list[str]]] = []
    silent: dict[tuple[str, Verdict], list[str]] = {}
    for row in rows:
        key = (row.component, row.verdict)
        if row.verdict in (Verdict.NOT_DRILLED, Verdict.NOT_CAPTURED) and key in silent:
            silent[key].append(str(row.domain))
            continue
        lines.append((row, domains := [str(row.domain)]))
        silent[key] = domains
    return ((row, ", ".join(domains)) for row, domains in lines)
