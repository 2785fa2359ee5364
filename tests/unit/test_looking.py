"""The service's own look: what does not answer keeps its last answer and is said; what the observer hears shows everywhere."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dr.app.core import App
from dr.app.drillpage import drill_page
from dr.app.looking import POINTS_EVERY, Looking
from dr.app.watching import Watching
from dr.components.wiring import Kit
from dr.errors import CONFIGURATION, UNREACHABLE, DrError
from dr.model.points import Coverage
from dr.model.strategy import FailureDomain, SourceSpec, Strategy
from dr.plan.status import RowVerdict
from dr.ports import Notice, ObjectStore
from dr.record.codec import encode
from dr.record.layout import ensure_format
from dr.record.summary import metadata_of
from dr.settings import Settings, load_settings
from tests.unit.fakes import FakeClock, manifest
from tests.unit.watched_world import CONFIG, DATABASE, NOW, STRATEGY, S, reports

ROWS = replace(STRATEGY, objectives=tuple(row for row in STRATEGY.objectives if row.component in ("appdata", "config")))


@dataclass
class World:
    """A deployment of two rows in directories; places can be made to be silent."""

    app: App
    clock: FakeClock
    silent: set[str] = field(default_factory=set)
    """Parts of URLs."""
    end: timedelta = 3 * S
    """How long ago the change log of the configuration ended."""
    listings: list[str] = field(default_factory=list)

    def opened(self, store: ObjectStore) -> ObjectStore:
        return Silent(store, self)

    def coverage(
        self, spec: SourceSpec, vault: ObjectStore, domains: tuple[FailureDomain, ...]
    ) -> tuple[Coverage, ...]:
        vault.stat("log")
        now = self.clock.now()
        return (Coverage(spec.id, "config-log", now - 60 * S, now - self.end, timedelta(0), tuple(FailureDomain)),)

    def capture(self, age: timedelta) -> None:
        one = manifest(DATABASE, self.clock.now() - age)
        self.app.vault("appdata").put(one.name, encode(one), metadata=metadata_of(one))


class Silent:
    """A store that answers as long as its place does."""

    def __init__(self, inner: ObjectStore, world: World) -> None:
        self._inner, self._world = inner, world

    def __getattr__(self, name: str) -> object:
        if name != "url" and any(part in self._inner.url for part in self._world.silent):
            raise DrError(UNREACHABLE, f"{self._inner.url.rpartition('/')[2]} does not answer")
        if name == "list":
            self._world.listings.append(self._inner.url.rpartition("/")[2])
        return getattr(self._inner, name)


def settings(folder: Path, more: str = "") -> Settings:
    vaults = "".join(f"  {name}:\n    url: file://./{name}\n" for name in ("appdata", "config"))
    text = (
        f"apiVersion: dr/v1\nkind: Settings\nscope: lab\ncontrol: file://./control\ncacheDir: cache\nvaults:\n{vaults}"
    )
    (folder / "dr.yaml").write_text(text + more)
    return load_settings(folder / "dr.yaml", {})


def world(folder: Path, more: str = "", strategy: Strategy = ROWS) -> World:
    clock = FakeClock(NOW)
    app = App(settings(folder, more), strategy, clock=clock)
    made = World(app, clock)
    app.wrap_store = made.opened
    kit = Kit(source=lambda spec: pytest.fail("nobody captures"), inspectors=(), restorers=(), coverage=made.coverage)
    app.__dict__["kits"] = {row.component: kit for row in strategy.objectives}
    for name in ("control", "appdata", "config"):
        ensure_format(app.store(f"file://{folder}/{name}"), "control" if name == "control" else "vault")
    return made


# --- looking -----------------------------------------------------------------------------------------------------------


def test_points_are_listed_each_minute_and_logs_each_time(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.capture(60 * S)
    looking = Looking(here.app)
    first, silent = looking.look()
    assert (silent, first and {row.verdict for row in first.rows}) == ((), {RowVerdict.UNPROVEN, RowVerdict.LUCKY})
    here.listings.clear()
    here.clock.advance(10)
    here.end = 70 * S
    second, _ = looking.look()
    assert "appdata" not in here.listings
    assert second is not None
    late = {row.component for row in second.rows if row.verdict is RowVerdict.LATE}
    assert late == {"config"}, "silence shows at once"
    here.capture(0 * S)
    here.clock.advance(POINTS_EVERY.total_seconds())
    third, _ = looking.look()
    assert third is not None
    assert len(third.instants[DATABASE]) == 2
    assert third.listed == here.clock.now()


def test_a_vault_that_falls_silent_is_named_and_its_rows_grow_old(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.capture(60 * S)
    looking = Looking(here.app)
    looking.look()
    here.silent = {"/appdata", "/config"}
    here.clock.advance(900)
    found, silent = looking.look()
    assert found is not None
    assert {text.partition(":")[0] for text in silent} == {
        "vault of appdata",
        "vault of config",
        f"change log of {CONFIG}",
    }
    assert {row.verdict for row in found.rows} == {RowVerdict.LATE}
    assert here.clock.now() - found.listed == timedelta(seconds=900)


def test_before_every_vault_has_answered_nothing_is_claimed(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.silent = {"/config"}
    looking = Looking(here.app)
    found, silent = looking.look()
    assert found is None
    assert "vault of config: config does not answer" in silent
    here.silent = set()
    here.clock.advance(POINTS_EVERY.total_seconds())
    assert looking.look()[0] is not None


def test_a_capture_that_ended_makes_the_next_look_list(tmp_path: Path) -> None:
    here = world(tmp_path)
    looking = Looking(here.app)
    looking.look()
    here.capture(0 * S)
    looking.listing_is_due()
    found, _ = looking.look()
    assert found is not None
    assert len(found.instants[DATABASE]) == 1


# --- the observer ------------------------------------------------------------------------------------------------------


@dataclass
class Lines:
    """A log."""

    said: list[tuple[str, dict[str, object]]] = field(default_factory=list)

    def info(self, event: str, **fields: object) -> None:
        self.said.append((event, fields))

    error = info


def value(watching: Watching, name: str, **labels: str) -> float:
    families = text_string_to_metric_families(watching.metrics().decode())
    found = [s for family in families for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
    assert len(found) == 1, found
    return found[0].value


def test_what_the_service_tells_shows_on_the_page_and_in_metrics(tmp_path: Path) -> None:
    here = world(tmp_path, "notifications:\n  slack: http://127.0.0.1:9/x\n")
    watching = Watching(here.app, Lines())
    for _ in range(3):
        watching.captured(DATABASE, "failed", 1.0, "unreachable")
    watching.noticed(Notice(CONFIG, "durable", 5, 0.2))
    watching.troubled("fenced")
    watching.led(False)
    page = watching.status_page()
    assert f"{DATABASE} failed 3 times in a row: error unreachable" in page
    assert "another replica does the work" in page
    assert "takes messages" in page
    assert value(watching, "dr_capture_failures_in_a_row", source=str(DATABASE)) == 3
    assert value(watching, "dr_service_errors_total", code="fenced") == 1
    assert value(watching, "dr_log_entries_total", source=str(CONFIG)) == 5
    assert value(watching, "dr_leader") == 0
    watching.captured(DATABASE, "committed", 1.0, "")
    assert "in a row" not in watching.status_page()


def test_a_replica_that_competes_does_not_lead_until_it_is_told_so(tmp_path: Path) -> None:
    here = world(tmp_path, "lease:\n  name: dr\n")
    assert value(Watching(here.app, Lines()), "dr_leader") == 0


def test_a_bug_in_a_watching_thread_is_told_and_ends_nothing(tmp_path: Path) -> None:
    here = world(tmp_path)
    log = Lines()
    watching = Watching(here.app, log)
    watching.bug("watch", ValueError("oops"))
    assert log.said[0][1]["error"] == "oops"
    assert value(watching, "dr_service_errors_total", code="internal") == 1


def test_an_address_that_cannot_be_served_ends_the_command_before_anything_runs(tmp_path: Path) -> None:
    here = world(tmp_path, "serve:\n  address: 203.0.113.1:80\n")
    with pytest.raises(DrError, match=r"serve\.address 203\.0\.113\.1:80") as caught:
        Watching(here.app, Lines())
    assert caught.value.kind is CONFIGURATION


# --- a drill's page ----------------------------------------------------------------------------------------------------


def test_a_drill_is_drawn_once(tmp_path: Path) -> None:
    here = world(tmp_path)
    report = replace(reports()[1], id="q-1")
    here.app.control.put("drills/q-1/report.json", encode(report))
    page = drill_page(here.app, "q-1")
    assert page.startswith("<!doctype html>")
    here.silent = {"/control"}
    assert drill_page(here.app, "q-1") == page
