"""Where each row stands: claimed and proven, silence, retention reach, verdict; told from a cache only when nothing is missed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dr.app import overview as module
from dr.app.core import App
from dr.app.overview import overview
from dr.app.watched import forget, undelivered
from dr.errors import UNREACHABLE, DrError
from dr.model.evidence import DrillReport, DrillRow, Loss, Recovery, Verdict
from dr.model.ids import Slot, SourceId
from dr.model.points import Coverage, PointSummary
from dr.model.retention import FreezeRecord, HoldKind
from dr.model.strategy import FailureDomain, Frequency, Objective, Place, SourceSpec, Strategy
from dr.plan.proof import by_key, drill_line, marks_of, with_marks
from dr.plan.status import GRACE, Evidence, RowVerdict, Standing, StatusRow, status_table
from dr.record.codec import encode
from dr.record.freeze import turn
from dr.record.holds import new_hold, place
from dr.record.layout import ensure_format
from dr.record.told import Failure, Ledger, ledger_file, save_ledger
from dr.record.watched import Watched, load, save
from dr.report.status import folded, notes, status_sheet
from dr.settings import load_settings
from dr.stores.local import LocalStore
from tests.unit.fakes import ALL_DOMAINS, DATABASE, T0, FakeClock

MINUTE = timedelta(minutes=1)
CONFIG = SourceId("config", "kubernetes", "energent-production")
AUDIT = SourceId("audit", "pubsub", "energent-audit")


def row(source: SourceId, rpo: timedelta, **options: object) -> Objective:
    spec = SourceSpec(source, Place(), options)
    year = timedelta(days=365)
    return Objective(source.component, Frequency.REAL_TIME, year, 60 * MINUTE, rpo, ALL_DOMAINS, (spec,))


STRATEGY = Strategy(
    "test",
    (
        row(DATABASE, 15 * MINUTE),
        row(CONFIG, timedelta(0), heartbeat="10s"),
        row(AUDIT, timedelta(0), heartbeat="20s"),
    ),
)


def point(age: timedelta, survives: Sequence[FailureDomain] = ALL_DOMAINS) -> PointSummary:
    at = T0 - age
    slot = Slot(DATABASE, at)
    return PointSummary(slot, "m", at, at, at, 9, tuple(survives), T0, f"points/{slot}.json", 1, "")


def log(
    source: SourceId, start: timedelta, end: timedelta, survives: Sequence[FailureDomain] = ALL_DOMAINS
) -> Coverage:
    return Coverage(source, "log", T0 - start, T0 - end, timedelta(0), tuple(survives))


def report(verdict: Verdict, at: datetime = T0, instant: datetime | None = T0, drill: str = "q-1") -> DrillReport:
    loss = Loss(900.0, 0, None, 5)
    one = DrillRow(
        "appdata", FailureDomain.SOURCE, str(DATABASE), verdict, Recovery(3600.0, 120.0, 0.0), loss, instant, "p", 1, 1, ()
    )  # fmt: skip
    other = replace(one, domain=FailureDomain.REGION, verdict=Verdict.NOT_DRILLED)
    return DrillReport(drill, "quarterly", "lab", at, at, at, at, "s", "0", (one, other), ())


def rows_of(
    points: Sequence[PointSummary] = (), coverage: Sequence[Coverage] = (), reports: Sequence[DrillReport] = ()
) -> dict[tuple[str, str], StatusRow]:
    proofs = by_key(with_marks((), [mark for one in reports for mark in marks_of(one)]))
    table = status_table(STRATEGY, points, {}, T0, Evidence(coverage, proofs))
    return {(found.component, str(found.domain)): found for found in table}


def test_the_end_of_the_change_log_is_the_claimed_point_and_its_start_the_reach() -> None:
    found = rows_of(coverage=[log(CONFIG, 400 * timedelta(days=1), 20 * MINUTE), log(CONFIG, 10 * MINUTE, MINUTE / 6)])
    config = found["config", "source"]
    assert (config.standing, config.age, config.continuous) == (Standing.OK, MINUTE / 6, True)
    assert config.reaches_all(T0)
    assert found["audit", "source"].standing is Standing.NO_POINT


def test_silence_is_a_miss_after_three_heartbeats_and_a_grace() -> None:
    just = log(AUDIT, 60 * MINUTE, 3 * timedelta(seconds=20) + GRACE)
    assert rows_of(coverage=[just])["audit", "source"].verdict is RowVerdict.LATE
    before = replace(just, end=just.end + timedelta(seconds=1))
    assert rows_of(coverage=[before])["audit", "source"].standing is Standing.OK


def test_a_log_counts_only_for_losses_that_it_survives() -> None:
    found = rows_of(coverage=[log(CONFIG, MINUTE, timedelta(0), [FailureDomain.SOURCE])])
    assert found["config", "region"].verdict is RowVerdict.NO_POINT
    assert found["config", "source"].verdict is RowVerdict.LUCKY


def test_what_a_declared_mode_does_not_guarantee_is_no_miss() -> None:
    found = rows_of([point(MINUTE)], [log(CONFIG, MINUTE, timedelta(0)), log(AUDIT, MINUTE, timedelta(0))])
    assert {str(found["config", domain].verdict) for domain in ALL_DOMAINS} == {"0 lost, not guaranteed"}
    # Pub/Sub keeps what is not acknowledged, as long as it stands
    assert found["audit", "cluster"].verdict is RowVerdict.UNPROVEN
    assert found["audit", "region"].verdict is RowVerdict.LUCKY
    assert not any(one.verdict.miss for one in found.values())


def test_a_row_is_met_when_it_is_young_and_a_drill_has_proven_it() -> None:
    found = rows_of([point(MINUTE)], reports=[report(Verdict.MET)])
    source, region = found["appdata", "source"], found["appdata", "region"]
    assert (source.verdict, source.proven) == (RowVerdict.MET, T0)
    assert (region.verdict, region.proof) == (RowVerdict.UNPROVEN, None)


@pytest.mark.parametrize(
    ("verdict", "row_verdict"),
    [(Verdict.FAILED, RowVerdict.DRILL_FAILED), (Verdict.MISSED, RowVerdict.DRILL_MISSED)],
)
def test_the_last_drill_counts_and_what_was_proven_stays_proven(verdict: Verdict, row_verdict: RowVerdict) -> None:
    earlier = report(Verdict.MET, T0 - 2 * MINUTE, T0 - 3 * MINUTE, "q-0")
    for order in ((earlier, report(verdict, instant=None)), (report(verdict, instant=None), earlier)):
        found = rows_of([point(MINUTE)], reports=order)["appdata", "source"]
        assert (found.verdict, found.proven) == (row_verdict, T0 - 3 * MINUTE)
        assert found.verdict.miss


def test_a_copy_that_failed_its_checks_proves_nothing() -> None:
    assert rows_of([point(MINUTE)], reports=[report(Verdict.FAILED)])["appdata", "source"].proven is None
    assert rows_of([point(MINUTE)], reports=[report(Verdict.MISSED)])["appdata", "source"].proven == T0


def test_a_late_row_is_late_whatever_was_proven() -> None:
    found = rows_of([point(15 * MINUTE)], reports=[report(Verdict.MET)])["appdata", "source"]
    assert found.verdict is RowVerdict.LATE


def test_the_reach_says_how_much_of_the_retention_there_is() -> None:
    found = rows_of([point(MINUTE), point(timedelta(days=12))])["appdata", "source"]
    assert found.reach(T0) == timedelta(days=12)
    assert not found.reaches_all(T0)
    sheet = status_sheet([found], T0)
    assert "12 d of 1 y" in [cell.text for cell in sheet.rows[0]]


def test_domains_that_read_the_same_share_a_line() -> None:
    table = status_table(STRATEGY, [point(MINUTE), point(0 * MINUTE, ALL_DOMAINS[:2])], {}, T0)
    lines = folded([found for found in table if found.component == "appdata"])
    assert [line.domains for line in lines] == [ALL_DOMAINS[:2], ALL_DOMAINS[2:]]
    assert len(status_sheet(table, T0, wide=True).rows) == 15


def test_a_freeze_stands_first() -> None:
    frozen = FreezeRecord(1, True, T0, "ann@example", "ransom")
    said = notes(frozen, 3, False, ["drills: no answer"])
    assert said[0] == (
        "FROZEN by ann@example since 2025-05-28T10:00:00Z: ransom. Nothing is pruned, no scheduled capture runs."
    )
    assert said[1:] == ("not asked: drills: no answer", "listed 3 s ago; --fresh lists anew")


def test_what_was_watched_comes_back_from_its_file(tmp_path: Path) -> None:
    proofs = with_marks((), marks_of(report(Verdict.MET)))
    whole = Watched(
        T0, (log(CONFIG, MINUTE, MINUTE),), proofs, (drill_line(report(Verdict.MET)),), ("q-1",), {str(DATABASE): 2},
        FreezeRecord(1, True, T0, "ann", ""), ("x",),
    )  # fmt: skip
    save(tmp_path / "w.json", whole)
    assert load(tmp_path / "w.json") == whole
    (tmp_path / "w.json").write_text('{"format": 1, "watched": {}}')
    assert load(tmp_path / "w.json") is None


# --- through the app ---------------------------------------------------------------------------------------------------


@pytest.fixture
def app(tmp_path: Path) -> App:
    """A database with one vault and a control repository, both directories."""
    (tmp_path / "dr.yaml").write_text(
        "apiVersion: dr/v1\nkind: Settings\nscope: lab\ncontrol: file://./control\ncacheDir: cache\n"
        "vaults:\n  appdata:\n    url: file://./appdata\n"
    )
    strategy = Strategy("test", (row(DATABASE, 15 * MINUTE),))
    app = App(load_settings(tmp_path / "dr.yaml", {}), strategy, clock=FakeClock(T0))
    ensure_format(app.control, "control")
    ensure_format(app.store(app.settings.vault("appdata").url), "vault")
    return app


def put_point(app: App, age: timedelta) -> None:
    from dr.record.summary import metadata_of
    from tests.unit.fakes import manifest

    one = manifest(as_of=app.clock.now() - age)
    app.vault("appdata").put(one.name, encode(one), metadata=metadata_of(one))


def test_drills_are_read_once_and_their_verdict_stays_known(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    put_point(app, MINUTE)
    app.control.put("drills/q-1/report.json", encode(report(Verdict.MET)))
    source = {str(found.domain): found for found in overview(app, fresh=True).rows}["source"]
    assert (source.verdict, source.proof.last.drill if source.proof else "") == (RowVerdict.MET, "q-1")
    got: list[str] = []
    read = LocalStore.get
    monkeypatch.setattr(LocalStore, "get", lambda self, name, **more: got.append(name) or read(self, name, **more))
    again = overview(app, fresh=True)
    assert [line.id for line in again.drills] == ["q-1"]
    assert not [name for name in got if name.startswith("drills/")]


def test_a_miss_is_told_only_after_the_stores_were_asked(app: App) -> None:
    clock = app.clock
    assert isinstance(clock, FakeClock)
    put_point(app, MINUTE)
    assert not overview(app, fresh=True).missed
    clock.advance(14 * 60)
    put_point(app, MINUTE)
    found = overview(app, fresh=False)
    assert (found.missed, found.listed) == (False, clock.now()), "the cache said late, the vault says better"
    clock.advance(13 * 60)
    assert overview(app, fresh=False).listed < clock.now(), "all is well: no store was asked"


def test_the_caches_are_what_is_known_when_no_store_answers(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = app.clock
    assert isinstance(clock, FakeClock)
    put_point(app, MINUTE)
    overview(app, fresh=True)
    clock.advance(3600)

    def silent(*_: object) -> None:
        raise DrError(UNREACHABLE, "no answer")

    monkeypatch.setattr(module, "all_points", silent)
    found = overview(app, fresh=False)
    assert found.missed
    assert found.trouble == ("judged as last listed: no answer",)
    forget(app)
    with pytest.raises(DrError, match="no answer"):
        overview(app, fresh=True)


def test_a_receiver_that_takes_no_messages_is_seen(app: App) -> None:
    failure = Failure(T0, "hooks.slack.com answered 404 Not Found")
    save_ledger(ledger_file(app.settings.cache_dir, "slack"), Ledger({}, failure))
    save_ledger(ledger_file(app.settings.cache_dir, "webhook"), Ledger())
    said = "slack takes no messages since 2025-05-28T10:00:00Z: hooks.slack.com answered 404 Not Found"
    assert undelivered(app) == (said,)


def test_points_that_people_hold_are_counted(app: App) -> None:
    put_point(app, MINUTE)
    name = overview(app, fresh=True).rows[0].point
    place(app.control, new_hold(HoldKind.LEASE, name, T0, "restore", "it runs", T0 + MINUTE))
    assert overview(app, fresh=True).rows[0].held == 0
    for _ in range(2):
        place(app.control, new_hold(HoldKind.HOLD, name, T0, "ann", "audit"))
    found = overview(app, fresh=True).rows[0]
    assert found.held == 1, "points, not holds"
    assert overview(app, fresh=False).rows[0].held == 1


def test_a_freeze_and_a_damaged_report_are_seen(app: App) -> None:
    put_point(app, MINUTE)
    turn(app.control, True, T0, "ann", "ransom")
    app.control.put("drills/q-2/report.json", b"{}")
    found = overview(app, fresh=True)
    assert found.frozen is not None
    assert found.frozen.reason == "ransom"
    assert [text for text in found.trouble if text.startswith("drill q-2: ")]
