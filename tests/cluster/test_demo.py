"""The demo is the product's promise: it runs, it measures, and its control fails as it must."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dr.app.verifying import verify_file
from tests.lab.command import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
LUCKY = "0 lost, not guaranteed"
DRILLED = {
    ("cluster", "source"): "met",
    ("appdata", "logical"): "met",
    ("appdata", "source"): "met",
    ("config", "logical"): LUCKY,
    ("config", "source"): LUCKY,
    ("audit", "source"): LUCKY,
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Its output folder and what it showed."""
    out = tmp_path_factory.mktemp("demo") / "out"
    argv = [sys.executable, "-m", "lab", "demo", "--out", str(out)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1500:]
    return out, done.stdout


def test_every_figure_is_measured_and_carries_its_evidence(demo: tuple[Path, str]) -> None:
    report = json.loads((demo[0] / "report.json").read_text())
    rows = {(row["component"], row["domain"]): row for row in report["items"]}
    assert report["drill"]["scope"] == "lab"
    assert len(rows) == 20, "four rows, five domains: none is left out"
    for key, verdict in DRILLED.items():
        row = rows[key]
        assert row["verdict"] == verdict
        assert 0 < row["rto"]["measured_s"] < row["rto"]["target_s"]
        assert row["rpo"]["writes_lost"] is not None
        assert row["rpo"]["acknowledged"] > 0
        assert row["rpo"]["witness"].startswith("writer's record, sha256 ")
        assert [step["step"] for step in row["rto"]["steps"]][-1] == "check"
        assert row["rto"]["steps"][-1]["end_s"] == pytest.approx(row["rto"]["measured_s"])
        assert row["checks"]
        assert all(check["passed"] for check in row["checks"])
        assert row["objects"] > 0
    others = {row["verdict"] for key, row in rows.items() if key not in DRILLED}
    assert others == {"not drilled"}
    assert rows["cluster", "source"]["point"]["sha256"]
    assert all(check["passed"] for check in report["drill"]["teardown"])


def test_the_application_was_healthy_from_restored_data(demo: tuple[Path, str]) -> None:
    report = json.loads((demo[0] / "report.json").read_text())
    cluster = next(row for row in report["items"] if (row["component"], row["domain"]) == ("cluster", "source"))
    assert any(check["name"] == "application health" and check["passed"] for check in cluster["checks"])


def test_the_control_named_what_was_damaged(demo: tuple[Path, str]) -> None:
    shown = demo[1]
    assert "control passed: the drill says FAILED and names data/cluster." in shown
    assert ".tar.gz" in shown


def test_the_first_row_and_the_closing_table_are_shown(demo: tuple[Path, str]) -> None:
    shown = demo[1]
    assert shown.index("first measured row") < shown.index("closing table") < shown.index("report.html")


def test_the_report_stands_alone_in_all_its_forms(demo: tuple[Path, str]) -> None:
    page = (demo[0] / "report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html>")
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "src=" not in page
    cases = ET.parse(demo[0] / "report.xml").getroot().iter("testcase")
    assert len(list(cases)) >= 20


def test_the_report_is_sealed_and_a_bettered_copy_is_named(demo: tuple[Path, str]) -> None:
    key = (demo[0] / "evidence.pub").read_text()
    for name in ("report.json", "report.html"):
        assert verify_file(name, (demo[0] / name).read_bytes(), key).passed
    bent = verify_file("bent", (demo[0] / "report-bettered.json").read_bytes(), key)
    assert "rto.measured_s: sealed" in " ".join(check.detail for check in bent.checks if not check.passed)
    found = json.loads((demo[0] / "report.json").read_text())["evidence"]
    assert found["order"]["stored"] <= found["order"]["before"]
    people = found["people"]
    assert len({people["executor"], people["witness"], people["approver"]}) == 3
    assert {point["component"] for point in found["points"]} == {"cluster", "appdata", "config", "audit"}


def test_nothing_is_left_of_the_lab(demo: tuple[Path, str]) -> None:
    lab = str(demo[0] / "lab")
    assert not (demo[0] / "lab").exists()
    running = [p for p in Path("/proc").glob("[0-9]*/cmdline") if lab in p.read_bytes().decode(errors="replace")]
    assert not running
