"""A drill report as JUnit XML: one case for each component and domain, one for each thing torn down."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from dr.model.evidence import DrillReport, DrillRow, Verdict
from dr.model.points import Check
from dr.model.timeline import format_instant
from dr.report import words

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SKIPPED = (Verdict.NOT_DRILLED, Verdict.NOT_CAPTURED)
_BAD = (Verdict.FAILED, Verdict.MISSED)


def junit(report: DrillReport, properties: Mapping[str, str] | None = None) -> str:
    """XML text. Missed objectives and failures are failures, what was not drilled is skipped. `properties`: what else is said of
    the whole."""
    root = ET.Element("testsuites", name="dr drill")
    suite = ET.SubElement(root, "testsuite", name=_clean(report.scenario), timestamp=format_instant(report.declared_at))
    if properties:
        group = ET.SubElement(suite, "properties")
        for name, value in properties.items():
            ET.SubElement(group, "property", name=name, value=_clean(value))
    for row in report.rows:
        _row_case(suite, row)
    for check in report.tripwire:
        _check_case(suite, check, "drill.tripwire")
    for check in report.teardown:
        _check_case(suite, check, "drill.teardown")
    _totals(root, suite, report)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _totals(root: ET.Element, suite: ET.Element, report: DrillReport) -> None:
    failed = sum(row.verdict in _BAD for row in report.rows) + sum(not check.passed for check in report.around)
    totals = {
        "tests": len(report.rows) + len(report.around),
        "failures": failed,
        "errors": 0,
        "skipped": sum(row.verdict in _SKIPPED for row in report.rows),
    }
    for element in (root, suite):
        for name, value in totals.items():
            element.set(name, str(value))


def _row_case(suite: ET.Element, row: DrillRow) -> None:
    name = f"{row.domain} ({row.source})" if row.source else str(row.domain)
    case = ET.SubElement(suite, "testcase", classname=f"drill.{_clean(row.component)}", name=_clean(name))
    if row.rto.measured_s is not None:
        case.set("time", f"{row.rto.measured_s:.3f}")
    if row.verdict in _SKIPPED:
        ET.SubElement(case, "skipped", message=str(row.verdict))
        return
    if row.verdict in _BAD:
        _failure(case, str(row.verdict), row.findings)
    ET.SubElement(case, "system-out").text = _clean(_figures(row))


def _figures(row: DrillRow) -> str:
    return (
        f"verdict: {row.verdict}\n"
        f"RTO: {words.span(row.rto.measured_s)} (target {words.target(row.rto.target_s)})\n"
        f"RPO: {words.lost(row.rpo)} (target {words.target(row.rpo.target_s)})\n"
        f"restored to: {words.instant(row.instant)} from {row.point or words.NOTHING}"
    )


def _check_case(suite: ET.Element, check: Check, place: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=place, name=_clean(check.name))
    if not check.passed:
        _failure(case, "left behind", (check.detail,))


def _failure(case: ET.Element, message: str, findings: Sequence[str]) -> None:
    first = findings[0] if findings else message
    failure = ET.SubElement(case, "failure", message=_clean(first), type=message)
    failure.text = _clean("\n".join(findings))


def _clean(text: str) -> str:
    """Without the control characters that XML cannot carry at all; the rest is escaped by the serialiser."""
    return _NOT_XML.sub("�", text)
