"""Reports: the same figures as JSON, JUnit, text and one page; nothing injected, nothing fetched."""

import io
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import DAMAGED, NEWER_FORMAT, DrError
from dr.model.evidence import DrillReport, DrillRow, Loss, Recovery, StepTiming, Verdict
from dr.model.points import Check
from dr.model.strategy import FailureDomain
from dr.report import words
from dr.report.drill_html import drill_html
from dr.report.drill_json import drill_json, read_drill_json
from dr.report.envelope import render
from dr.report.junit import junit
from dr.report.screen import Screen, show
from dr.report.sheet import Column, Sheet, cell
from dr.report.tables import drill_sheet

T = datetime(2025, 5, 28, 10, 0, 0, 250000, tzinfo=UTC)
HOSTILE = '</td></svg></style><script>alert(1)</script><img src="https://evil.example/x">&"\' \x1b[31m'
STEPS = (StepTiming("clone", 0.0, 6.5, "op 1"), StepTiming("checks", 6.5, 7.25))
MET = DrillRow(
    component="appdata",
    domain=FailureDomain.LOGICAL,
    source="appdata/firestore/db",
    verdict=Verdict.MET,
    rto=Recovery(3600, 7.25, 2.0, STEPS),
    rpo=Loss(900, 3, 58.5, 4812, witness="writer's record"),
    instant=T - timedelta(seconds=60),
    point="firestore-pitr",
    objects=1200,
    size=734003,
    checks=(Check("documents", True, "1,200 of 1,200"),),
)
FAILED = replace(
    MET,
    domain=FailureDomain.SOURCE,
    verdict=Verdict.FAILED,
    rpo=Loss(900, None, None, None),
    point="points/x.json",
    point_sha256="ab" * 32,
    checks=(Check("output-0", False, "sha256 differs"),),
    findings=("output-0 of points/x.json: sha256 differs",),
)
IDLE = DrillRow(
    "config", FailureDomain.LOGICAL, "", Verdict.NOT_CAPTURED, Recovery(1800, None, None), Loss(0, None, None, None),
    None, "", 0, 0, (),
)  # fmt: skip


def report(*rows: DrillRow, teardown: tuple[Check, ...] = ()) -> DrillReport:
    return DrillReport(
        "drill-1", "quarterly", "lab", T, T, T + timedelta(seconds=2), T + timedelta(seconds=60), "f0" * 32, "0.1.0",
        rows, teardown, {"python": "3.11"},
    )  # fmt: skip


FULL = report(MET, FAILED, IDLE, teardown=(Check("database db-2", True, "deleted"),))


# --- JSON -----------------------------------------------------------------------------------------------------------


def test_json_carries_each_figure_with_its_evidence() -> None:
    data = json.loads(drill_json(FULL))
    assert (data["apiVersion"], data["kind"], data["drill"]["passed"]) == ("dr/v1", "DrillReport", False)
    row = data["items"][0]
    assert (row["component"], row["domain"], row["verdict"]) == ("appdata", "logical", "met")
    assert (row["rto"]["target_s"], row["rto"]["measured_s"]) == (3600, 7.25)
    assert (row["rpo"]["target_s"], row["rpo"]["writes_lost"], row["rpo"]["oldest_lost_s"]) == (900, 3, 58.5)
    assert row["rto"]["steps"][0] == {"step": "clone", "start_s": 0.0, "end_s": 6.5, "detail": "op 1"}
    assert (row["rpo"]["acknowledged"], row["rpo"]["witness"]) == (4812, "writer's record")
    assert data["items"][1]["point"] == {"name": "points/x.json", "sha256": "ab" * 32}


numbers = st.floats(0, 1e9, allow_nan=False)
texts = st.text(max_size=20)
rows_of = st.builds(
    DrillRow,
    component=texts,
    domain=st.sampled_from(FailureDomain),
    source=texts,
    verdict=st.sampled_from(Verdict),
    rto=st.builds(
        Recovery,
        numbers,
        st.none() | numbers,
        st.none() | numbers,
        st.lists(st.builds(StepTiming, texts, numbers, numbers, texts), max_size=3).map(tuple),
    ),
    rpo=st.builds(
        Loss, numbers, st.none() | st.integers(0), st.none() | numbers, st.none() | st.integers(0), st.booleans(),
        st.booleans(), texts,
    ),
    instant=st.none() | st.datetimes(timezones=st.just(UTC)),
    point=texts,
    objects=st.integers(0, 2**63),
    size=st.integers(0, 2**63),
    checks=st.lists(st.builds(Check, texts, st.booleans(), texts), max_size=3).map(tuple),
    findings=st.lists(texts, max_size=3).map(tuple),
    point_sha256=texts,
)  # fmt: skip


@given(st.lists(rows_of, max_size=3))
def test_json_reads_back_to_the_same_report(rows: list[DrillRow]) -> None:
    written = report(*rows)
    assert read_drill_json(drill_json(written)) == written


def refused(text: str) -> DrError:
    with pytest.raises(DrError) as caught:
        read_drill_json(text)
    return caught.value


def test_a_damaged_report_is_refused_and_the_field_named() -> None:
    good = drill_json(FULL)
    assert refused(good.replace('"measured_s": 7.25', '"measured_s": "7"', 1)).message == (
        "drill report: items[0].rto.measured_s is not a number"
    )
    assert "verdict" not in refused(good.replace('"not captured yet"', '"perfect"', 1)).message.partition(":")[0]
    assert refused(good[:-20]).kind is DAMAGED
    assert refused(good.replace("dr/v1", "dr/v2")).kind is NEWER_FORMAT
    assert refused("[]").kind is DAMAGED


def test_an_empty_envelope_has_an_empty_list() -> None:
    assert json.loads(render("PointList", [])) == {"apiVersion": "dr/v1", "kind": "PointList", "items": []}


# --- JUnit ----------------------------------------------------------------------------------------------------------


def test_junit_has_a_case_for_each_row_and_each_thing_torn_down() -> None:
    bad = replace(FULL, teardown=(Check("database db-2", False, "still there"),))
    suite = ET.fromstring(junit(bad).encode())[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("4", "2", "1")
    cases = {(case.get("classname"), case.get("name")): case for case in suite}
    failure = cases["drill.appdata", "source (appdata/firestore/db)"].find("failure")
    assert failure is not None
    assert failure.get("message") == FAILED.findings[0]
    assert cases["drill.config", "logical"].find("skipped") is not None
    assert cases["drill.teardown", "database db-2"].find("failure") is not None


@given(st.text(max_size=30))
def test_any_name_gives_well_formed_xml(name: str) -> None:
    ET.fromstring(junit(report(replace(FAILED, component=name, findings=(name,)))).encode("utf-8", "replace"))


# --- the page -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")
        ]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())


@pytest.fixture(scope="module")
def hostile_page() -> str:
    steps = (StepTiming(HOSTILE, 0, 1, HOSTILE), StepTiming("checks", 1, 2))
    row = replace(
        FAILED, component=HOSTILE, source=HOSTILE, point=HOSTILE, findings=(HOSTILE,), checks=(Check(HOSTILE, False, HOSTILE),),
        rto=Recovery(60, 2, 1, steps),
    )  # fmt: skip
    bad = report(row, teardown=(Check(HOSTILE, False, HOSTILE),))
    return drill_html(replace(bad, scenario=HOSTILE, id=HOSTILE, environment={HOSTILE: HOSTILE}))


def test_a_hostile_name_cannot_inject(hostile_page: str) -> None:
    page = Page(hostile_page)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "<script" not in hostile_page


def test_no_request_leaves_the_page(hostile_page: str) -> None:
    assert Page(hostile_page).links == []
    style = re.search(r"<style>(.*?)</style>", hostile_page, re.S)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]
    assert "default-src 'none'" in hostile_page
    outside = set(
        re.findall(r"(?<=[\"'(])https?://[^\"')]+", hostile_page.replace("&quot;", "'").replace("&#34;", "'"))
    )
    assert {url for url in outside if "w3.org" not in url and "evil.example" not in url} == set()


def test_the_page_has_a_timeline_for_each_drilled_row_and_says_what_failed_first() -> None:
    text = drill_html(FULL)
    assert text.count("<svg") == 4, "two rows, wide and narrow"
    assert text.index("What failed") < text.index("Result")
    assert "#0a0b0" not in text, "a stand-in colour was left"
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    seen = Page(text).words
    assert {"7.25 s", "< 15 min", "oldest 58.5 s", "1,200", "717 KiB", "not captured yet"} <= set(seen)


def test_a_passed_drill_has_no_section_of_failures() -> None:
    text = drill_html(report(MET))
    assert "What failed" not in text
    assert "Passed" in text


# --- text -----------------------------------------------------------------------------------------------------------


def test_a_pipe_gets_plain_columns_that_are_never_cut() -> None:
    text = show(drill_sheet(FULL), Screen.of(io.StringIO(), {}))
    lines = text.splitlines()
    assert lines[0].split()[:2] == ["COMPONENT", "DOMAIN"]
    assert "3 lost, oldest 58.5 s" in lines[1]
    assert "\x1b" not in text
    assert f"appdata/source failed: {FAILED.findings[0]}" in lines


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_a_terminal_of_any_width_gets_every_word_and_no_line_too_long(width: int) -> None:
    text = show(drill_sheet(report(MET, IDLE)), Screen(width, False))
    assert "\x1b" not in text
    assert "appdata" in text
    if width >= 99:
        assert max(map(len, text.splitlines())) <= width


def test_colours_only_where_asked() -> None:
    assert "\x1b[" in show(drill_sheet(FULL), Screen(160, True))


def test_no_color_is_honoured() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert Screen.of(Terminal(), {"NO_COLOR": "1"}).colour is False
    assert Screen.of(Terminal(), {"TERM": "dumb"}).colour is False
    assert Screen.of(Terminal(), {"NO_COLOR": ""}).colour is True


def test_a_name_cannot_move_the_cursor() -> None:
    sheet = Sheet((Column("name"),), ((cell("a\x1b[2Jb\n[bold]c"),),))
    for screen in (Screen(None, False), Screen(80, False)):
        text = show(sheet, screen)
        assert "\x1b" not in text
        assert "[bold]c" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"), (0, "0"), (0.0123, "12.3 ms"), (1.267, "1.27 s"), (59.4, "59.4 s"), (59.6, "1 min"), (90, "1 min 30 s"),
        (3599.7, "1 h"), (3600, "1 h"), (15120, "4 h 12 min"), (86400, "24 h"), (90000, "25 h"), (30 * 86400, "30 d"),
        (7 * 365 * 86400, "7 y"), (-5, "-5 s"),
    ],
)  # fmt: skip
def test_spans_read_well(seconds: float | None, text: str) -> None:
    assert words.span(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1500000, "1.43 MiB")]
)
def test_sizes_read_well(count: int | None, text: str) -> None:
    assert words.size(count) == text


def test_a_rate_over_no_measurable_time_is_no_figure() -> None:
    instant = replace(MET, rto=Recovery(60, 5e-324, 0.0))
    assert json.loads(drill_json(report(instant)))["items"][0]["rate_bytes_s"] is None
