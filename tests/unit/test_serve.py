"""Metrics, health and the status page: what they say, what they refuse, what they never do."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dr.errors import CONFIGURATION, UNREACHABLE, DrError
from dr.plan.overview import Overview
from dr.ports import Notice
from dr.serve.metrics import Metrics, Watch
from dr.serve.page import Service, status_page
from dr.serve.strip import Strip, holes, strip_svg
from dr.serve.web import Pages, Server
from tests.unit.watched_world import AUDIT, CONFIG, DATABASE, FREEZE, NOW, STRATEGY, D, S, coverage, overview, points

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scraped(metrics: Metrics) -> Samples:
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, **labels: str) -> float:
    """Of the one series with at least these labels."""
    found = [v for (n, has), v in samples.items() if n == name and labels.items() <= dict(has).items()]
    assert len(found) == 1, (name, labels, found)
    return found[0]


def metrics(found: Overview | None = None) -> tuple[Metrics, Watch]:
    watch = Watch(STRATEGY, lambda: NOW, found)
    made = Metrics(watch, "lab")
    made.know(STRATEGY.sources())
    return made, watch


# --- metrics -----------------------------------------------------------------------------------------------------------


def test_where_every_row_stands() -> None:
    samples = scraped(metrics(overview(frozen=FREEZE))[0])
    database = {"component": "appdata", "source": str(DATABASE), "domain": "source"}
    assert value(samples, "dr_recovery_point_age_seconds", **database) == 300
    assert value(samples, "dr_recovery_point_age_limit_seconds", **database) == 900
    assert value(samples, "dr_recovery_point_age_limit_seconds", source=str(AUDIT), domain="region") == 60
    assert value(samples, "dr_rpo_target_seconds", component="audit") == 0
    assert value(samples, "dr_retention_target_seconds", component="audit") == 7 * 365 * 86400
    assert value(samples, "dr_row_missed", component="cluster", domain="project") == 1
    assert value(samples, "dr_last_drill_kept", component="cluster", domain="source") == 0
    assert value(samples, "dr_points_on_hold", source=str(CONFIG)) == 2
    assert (value(samples, "dr_frozen"), value(samples, "dr_frozen_seconds")) == (1, 7200)
    nothing = [labels for name, labels in samples if name == "dr_recovery_point_age_seconds"]
    assert not any({"cluster", "project"} <= {v for _, v in labels} for labels in nothing), "no point has no age"


def test_ages_grow_while_nobody_looks() -> None:
    made, watch = metrics(overview())
    watch.now = lambda: NOW + timedelta(hours=1)
    samples = scraped(made)
    assert value(samples, "dr_recovery_point_age_seconds", source=str(DATABASE), domain="source") == 3900
    assert value(samples, "dr_overview_age_seconds") == 3604


def test_what_happened_is_counted() -> None:
    made, _ = metrics()
    for result in ("failed", "failed", "locked", "parked"):
        made.captured(DATABASE, result, 3.0)
    samples = scraped(made)
    assert value(samples, "dr_captures_total", source=str(DATABASE), result="failed") == 2
    assert value(samples, "dr_capture_failures_in_a_row", source=str(DATABASE)) == 2
    made.captured(DATABASE, "committed", 40.0)
    samples = scraped(made)
    assert value(samples, "dr_capture_failures_in_a_row", source=str(DATABASE)) == 0
    assert value(samples, "dr_capture_duration_seconds_sum", source=str(DATABASE)) == 40
    assert value(samples, "dr_capture_duration_seconds_bucket", source=str(DATABASE), le="30.0") == 0


def test_what_followers_tell() -> None:
    made, _ = metrics()
    made.notice(Notice(AUDIT, "durable", 120, 0.4))
    made.notice(Notice(AUDIT, "quarantined", 2))
    made.notice(Notice(CONFIG, "relisted"))
    samples = scraped(made)
    assert value(samples, "dr_log_entries_total", source=str(AUDIT)) == 120
    assert value(samples, "dr_log_lag_seconds_bucket", source=str(AUDIT), le="0.5") == 1
    assert value(samples, "dr_quarantined_total", source=str(AUDIT)) == 2
    assert value(samples, "dr_log_events_total", source=str(CONFIG), kind="relisted") == 1


def test_every_series_of_events_is_there_from_the_start() -> None:
    samples = scraped(metrics()[0])
    assert value(samples, "dr_captures_total", source=str(AUDIT), result="failed") == 0
    assert value(samples, "dr_quarantined_total", source=str(AUDIT)) == 0
    assert not [name for name, _ in samples if name.endswith("_created")]


def test_names_follow_the_convention() -> None:
    made, _ = metrics(overview())
    for family in text_string_to_metric_families(made.text().decode()):
        if family.name.startswith("process_"):
            continue
        assert re.fullmatch(r"dr_[a-z_]+", family.name)
        assert family.documentation.endswith((".", "..."))
        assert not re.search(r"_(ms|minutes|hours|days|mb|kb)(_|$)", family.name)


# --- the page ----------------------------------------------------------------------------------------------------------


def test_the_page_says_what_stands_where() -> None:
    page = status_page(STRATEGY, "production", overview(frozen=FREEZE), (Service("slack", "down", good=False),), NOW)
    assert '<h1 class="bad">2 rows are missed</h1>' in page
    assert "FROZEN by ann@energent.example" in page
    assert 'href="drills/quarterly-20250527T020000Z-9f02"' in page
    for words in ("drill missed", "no point", "0 lost, not guaranteed", "met, not proven", "40 d of 1 y", "2 on hold"):
        assert words in page
    assert not re.search(r"<script|https?://|url\(", page), "nothing runs, nothing is fetched"


def test_what_comes_from_outside_stays_text() -> None:
    frozen = replace(FREEZE, by="<script>alert(1)</script>", reason='"><img src=x>')
    trouble = replace(overview(frozen=frozen), trouble=("<b>vault</b>",))
    page = status_page(STRATEGY, "lab", trouble, (), NOW)
    assert "&lt;script&gt;" in page
    assert "&lt;b&gt;vault" in page
    assert "<script" not in page
    assert "<img" not in page


def test_old_news_are_called_old_and_none_are_no_news() -> None:
    page = status_page(STRATEGY, "lab", overview(listed=NOW - timedelta(minutes=20)), (), NOW)
    assert "The stores were last asked 20 min ago: what stands here is old." in page
    assert "The stores are being asked" in status_page(STRATEGY, "lab", None, (), NOW)


def strip(**changes: object) -> Strip:
    made = Strip(NOW, 90 * D, 900 * S, "RPO 15 min", tuple(p.as_of for p in points() if p.source == DATABASE), ())
    return replace(made, **changes)  # type: ignore[arg-type]


def test_holes_are_where_more_would_be_lost_than_allowed() -> None:
    (hole,) = holes(strip())
    assert timedelta(hours=6) <= hole[1] - hole[0] <= timedelta(hours=6, minutes=20)
    assert abs(hole[1] - (NOW - 3 * D)) < timedelta(minutes=11)
    late = holes(strip(instants=(NOW - 900 * S,)))
    assert late == ((NOW - 900 * S, NOW),)
    logs = tuple((c.start, c.end) for c in coverage() if c.source == CONFIG)
    assert holes(strip(instants=(), coverage=logs)) == ((NOW - 5 * D, NOW - 5 * D + timedelta(hours=2)),)
    assert holes(strip(instants=())) == ()


@pytest.mark.parametrize("width", [330, 1040])
def test_ten_thousand_points_are_a_small_picture_within_its_frame(width: int) -> None:
    svg = strip_svg(strip(proven=(NOW - 400 * D, NOW)), width)
    assert len(svg) < 16_000
    # ages beyond both ends of the axis are drawn at its ends
    positions = [float(x) for x in re.findall(r' x="([-\d.]+)"', svg)]
    assert 0 <= min(positions) <= max(positions) <= width


# --- over HTTP ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: str


@contextmanager
def served(pages: Pages) -> Iterator[Server]:
    server = Server("127.0.0.1:0", pages)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server: Server, path: str, method: str = "GET") -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode())
    connection.close()
    return found


def drawn(drill: str) -> str | None:
    assert re.fullmatch(r"[\w.-]{1,120}", drill), "what is no id is asked of nobody"
    if drill == "broken":
        raise DrError(UNREACHABLE, "the control repository does not answer")
    return f"<p>{drill}" if drill == "q-1" else None


def pages(ready: str = "") -> Pages:
    return Pages(lambda: "<p>status", lambda: b"dr_up 1\n", lambda: ready, drawn)


def test_every_page_answers_and_lets_nothing_in() -> None:
    with served(pages()) as server:
        status = get(server, "/")
        assert (status.status, status.body) == (200, "<p>status")
        assert status.headers["content-security-policy"].startswith("default-src 'none'")
        assert status.headers["content-type"] == "text/html; charset=utf-8"
        assert get(server, "/metrics").headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert get(server, "/healthz").body == "ok\n"
        assert get(server, "/readyz").status == 200
        assert get(server, "/drills/q-1").body == "<p>q-1"
        assert get(server, "/drills/broken").status == 503
        for path in ("/drills/q-2", "/drills/..%2f..%2fetc", "/drills/" + "x" * 200, "/nothing"):
            assert get(server, path).status == 404
        assert get(server, "/", "POST").status == 405


def test_not_ready_says_why() -> None:
    with served(pages("the stores have not answered yet")) as server:
        answer = get(server, "/readyz")
        assert (answer.status, answer.body) == (503, "the stores have not answered yet\n")
        assert get(server, "/healthz").status == 200


def test_an_address_that_is_taken_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(DrError, match=rf"serve\.address 127\.0\.0\.1:{port}: cannot listen there: ") as caught:
            Server(f"127.0.0.1:{port}", pages())
    assert caught.value.kind is CONFIGURATION
