"""A fault must be caught for what it is, planted in a copy only, and the same seed must plant the same."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from dr.changelog import LogReader
from dr.changelog.mutating import Log, closed_up, dropped, manifest_of
from dr.components.appdata.leveldb import BLOCK, read_records
from dr.components.appdata.mutating import framed
from dr.components.config.mutating import forgeries
from dr.components.config.opened import Opened
from dr.components.config.reading import state_at
from dr.components.planting import Subject, Unsuitable
from dr.errors import NOT_FOUND, RETENTION_REFUSED, DrError
from dr.model.evidence import DrillRow, Verdict
from dr.model.mutations import Edit, Fault
from dr.model.points import Check
from dr.plan.mutations import SPOILS, byte_faults, caught, chosen_faults, sound, spoilt
from dr.record.catalogue import find_point
from dr.stores.memory import MemoryStore
from dr.stores.overlay import Overlay
from tests.unit.config_world import SOURCE as CONFIG
from tests.unit.config_world import World, config_map, secret, spec
from tests.unit.export_writer import frame
from tests.unit.pubsub_fake import SOURCE
from tests.unit.test_audit_cli import filled
from tests.unit.test_config_log import packed
from tests.unit.test_report import MET, report

NAME = "data/x/1/part"


def of(verdict: Verdict, *findings: str) -> DrillRow:
    return replace(MET, component="appdata", verdict=verdict, findings=findings)


# --- what counts


@pytest.mark.parametrize(
    ("rows", "good"),
    [
        ([of(Verdict.FAILED, f"{NAME}: its sha256 differs")], True),
        ([of(Verdict.FAILED, "the application does not answer")], False),
        ([of(Verdict.MISSED, f"{NAME}: its sha256 differs")], False),
        ([of(Verdict.MET)], False),
        ([of(Verdict.FAILED, NAME), of(Verdict.MET)], False),
        ([replace(of(Verdict.FAILED, NAME), component="audit")], False),
        ([], False),
    ],
)
def test_a_fault_is_caught_only_where_it_is_and_by_its_name(rows: list[DrillRow], good: bool) -> None:
    assert caught(report(*rows), "appdata", Edit({}, (NAME,))) is good


def test_a_clean_drill_is_sound_unless_something_is_called_broken_or_left() -> None:
    assert sound(report(of(Verdict.MET)), "appdata")
    assert sound(report(of(Verdict.MISSED, "slow")), "appdata")
    assert not sound(report(of(Verdict.FAILED, "x")), "appdata")
    assert not sound(report(of(Verdict.MET), teardown=(Check("t", False, "left"),)), "appdata")
    assert not sound(report(), "appdata")


def test_every_spoil_changes_what_it_is_given() -> None:
    data = bytes(range(1, 201)) * 20
    results = {how: spoilt(f"{how}.x", data) for how in SPOILS}
    assert len(set(results.values())) == len(SPOILS)
    assert data not in results.values()


def test_the_same_seed_chooses_the_same_from_every_row() -> None:
    known = [*byte_faults("audit", ["a", "b"]), *byte_faults("config", ["c"]), Fault("cluster", "f", "w", True)]
    first = chosen_faults(known, 7, 3)
    assert first == chosen_faults(random.Random(1).sample(known, len(known)), 7, 3)
    assert {fault.component for fault in first} == {"audit", "config", "cluster"}
    assert first != chosen_faults(known, 7, 4)
    assert chosen_faults(known, None, 3) == tuple(sorted(known))


# --- copies


def test_a_copy_shows_what_was_planted_and_leaves_the_place_alone() -> None:
    place = MemoryStore()
    made = {name: place.put(name, name.encode(), metadata={"m": name}) for name in ("a", "b", "c")}
    copy = Overlay(place, {"a": b"other", "b": None}, {"c": {"m": "lies"}})
    assert copy.get("a", generation=made["a"].generation) == b"other"
    assert b"".join(copy.stream("a")) == b"other"
    assert [(info.name, info.metadata) for info in copy.list()] == [("a", {"m": "a"}), ("c", {"m": "lies"})]
    assert copy.stat("b") is None
    with pytest.raises(DrError) as error:
        copy.get("b")
    assert error.value.kind is NOT_FOUND
    with pytest.raises(DrError) as error:
        copy.put("d", b"")
    assert error.value.kind is RETENTION_REFUSED
    assert {info.name: place.get(info.name) for info in place.list()} == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_writable_copy_keeps_what_is_written_for_itself() -> None:
    place = MemoryStore()
    place.put("a", b"1")
    copy = Overlay(place, writable=True)
    copy.put("b", b"2")
    there = copy.stat("a")
    assert there
    copy.delete("a", generation=there.generation)
    assert [info.name for info in copy.list()] == ["b"]
    assert [info.name for info in place.list()] == ["a"]


def test_an_emptied_copy_lists_nothing() -> None:
    place = MemoryStore()
    place.put("a", b"1")
    assert list(Overlay(place, emptied=True).list()) == []


# --- forgeries fit


@pytest.mark.parametrize("size", [0, 1, 100, BLOCK - 7, BLOCK - 8, BLOCK, 3 * BLOCK + 5])
def test_records_are_framed_as_they_are_read(size: int) -> None:
    payloads = [b"first", bytes(size), b"last" * 50]
    assert [data for _, data in read_records("x", [framed(payloads)])] == payloads
    assert framed(payloads) == frame(payloads)


def test_a_forged_log_is_whole_and_says_another_thing(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    vault = filled(tmp_path)
    log = Log.read(vault, SOURCE)
    log.segments[3].lines[0]["data"]["entry"]["severity"] = "DEBUG"  # type: ignore[index]
    edit = log.forged(["x"])
    copy = Overlay(vault, edit.files, edit.metadata)
    assert all(check.passed for check in LogReader(copy, SOURCE).verify())
    told = [entry.data.get("entry", {}).get("severity") for entry in LogReader(copy, SOURCE).entries()]  # type: ignore[attr-defined]
    assert told.count("DEBUG") == 1


def test_a_segment_that_never_was_leaves_no_hole_and_a_dropped_one_does(tmp_path: Path) -> None:
    (tmp_path / "audit").mkdir()
    vault = filled(tmp_path)
    log = Log.read(vault, SOURCE)
    hole = dropped(log, log.segments[4])
    assert not all(check.passed for check in LogReader(Overlay(vault, hole.files), SOURCE).verify())
    closed = closed_up(log, log.segments[4], ["x"])
    reader = LogReader(Overlay(vault, closed.files, closed.metadata), SOURCE)
    assert all(check.passed for check in reader.verify())
    assert sum(1 for _ in reader.entries()) == 10


@pytest.mark.parametrize(
    "name",
    [
        "value-changed",
        "label-changed",
        "object-missing",
        "deleted",
        "stale-tail",
        "segment-closed-up",
        "secrets-swapped",
        "wrong-key",
    ],
)
def test_a_forged_config_log_fits_and_holds_another_state(name: str) -> None:
    here = World()
    here.api.put("secrets", secret("app", "other", b="Mg=="))
    here.catch_up()
    packed(here)
    for number in range(3):
        here.api.put("configmaps", config_map("app", f"later-{number}"))
        here.catch_up()
    before = {info.name: here.vault.get(info.name) for info in here.vault.list()}
    subject = Subject(spec(), here.vault, None, None, here.clock.now())
    forgery = next(one for one in forgeries(subject) if one.name == name)
    edit = forgery.plant(subject, random.Random(1))
    copy = Overlay(here.vault, edit.files, edit.metadata)
    assert all(check.passed for check in LogReader(copy, CONFIG).verify())
    assert state_at(copy, CONFIG).objects != state_at(here.vault, CONFIG).objects
    pack = LogReader(copy, CONFIG).units()
    assert find_point(copy, manifest_of(next(iter(pack)).name))
    assert {info.name: here.vault.get(info.name) for info in here.vault.list()} == before


def planted(here: World, name: str) -> Edit:
    subject = Subject(spec(), here.vault, None, None, here.clock.now())
    return next(one for one in forgeries(subject) if one.name == name).plant(subject, random.Random(1))


def opened(here: World) -> Opened:
    return Opened.of(Subject(spec(), here.vault, None, None, here.clock.now()))


def test_what_has_just_changed_is_no_object_to_take_away() -> None:
    """Nothing could tell a log that lies of its last second from one that was not handed it yet."""
    here = World()
    here.api.put("configmaps", config_map("app", "twice", level="old"))
    here.catch_up()
    packed(here)
    before = {key.name for key in opened(here).puts("configmaps")}
    here.clock.advance(60)
    here.api.put("configmaps", config_map("app", "just-now"))
    here.api.put("configmaps", config_map("app", "twice", level="new"))
    here.catch_up()
    assert {key.name for key in opened(here).puts("configmaps")} == before - {"twice"}


def test_a_segment_is_closed_up_only_where_a_living_source_can_tell() -> None:
    """Not where all that it says has just happened, was undone later, or is that something is no more."""
    here = World()
    here.api.put("configmaps", config_map("app", "stays"))
    here.catch_up()
    packed(here)
    here.api.drop("configmaps", "settings", "app")
    here.catch_up()
    for number in range(2):
        here.api.put("configmaps", config_map("app", "newest", level=str(number)))
        here.catch_up()
    with pytest.raises(Unsuitable):
        planted(here, "segment-closed-up")
    here.api.put("configmaps", config_map("app", "later"))
    here.catch_up()
    here.catch_up()
    assert planted(here, "segment-closed-up").hit in {("app/configmaps/newest",), ("app/configmaps/later",)}
