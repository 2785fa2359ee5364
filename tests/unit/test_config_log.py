"""The follower of a cluster's configuration on a hand-made API server: what is in the log is what was there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from dr.changelog import LogReader, LogWriter
from dr.changelog.frames import decompressing
from dr.components.config.packing import ConfigPackInspector, newest
from dr.components.config.reading import base_of, coverage, covered, cut_short, state_at
from dr.components.config.source import ConfigSource
from dr.components.config.state import ObjectKey, State
from dr.errors import CONFIGURATION, DAMAGED, FENCED, INSTANT_UNREACHABLE, DrError
from dr.model.ids import Slot
from dr.model.points import PointManifest
from dr.model.strategy import FailureDomain
from dr.model.timeline import format_instant
from dr.ports import Draft, Notice
from dr.record.codec import encode
from dr.record.summary import metadata_of
from dr.record.verify import against_draft
from tests.unit.config_world import SERVED, SOURCE, Body, World, config_map, secret, spec
from tests.unit.fakes import FakeContext

PATIENCE_S = 20


def objects(here: World) -> dict[str, object]:
    """Key -> the content, of the state at the end of the log."""
    found = state_at(here.vault, SOURCE).objects
    return {str(key): held.object.get("data", held.object.get("spec")) for key, held in found.items()}


def there(here: World, *keys: str) -> None:
    assert set(keys) <= objects(here).keys(), objects(here).keys()


class Following:
    """A follower in a thread; waits are for what the log holds, never for time."""

    def __init__(self, here: World, **options: object) -> None:
        self.here, self.stop = here, threading.Event()
        self.changed = threading.Condition()
        self.error: DrError | None = None
        self._follower = here.follower(**options)
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._follower.follow(self.here.vault, self.stop.is_set, self.told)
        except DrError as error:
            self.error = error
        with self.changed:
            self.changed.notify_all()

    def told(self, notice: Notice) -> None:
        with self.changed:
            self.here.told.append(notice)
            self.changed.notify_all()

    def until(self, true: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.error is not None or true(), PATIENCE_S), self.here.told
        if self.error is not None:
            raise self.error

    def until_logged(self, true: Callable[[State], bool]) -> None:
        self.until(lambda: true(state_at(self.here.vault, SOURCE)))

    def until_told(self, kind: str) -> None:
        self.until(lambda: any(one.kind == kind for one in self.here.told))


@contextmanager
def following(here: World, **options: object) -> Iterator[Following]:
    one = Following(here, **options)
    one.thread.start()
    try:
        yield one
    finally:
        one.stop.set()
        one.thread.join(PATIENCE_S)
    assert not one.thread.is_alive()


def has(key: str, *, not_: bool = False) -> Callable[[State], bool]:
    return lambda state: (ObjectKey.parse(key) in state.objects) is not not_


def test_everything_chosen_is_there_at_the_start_and_nothing_else() -> None:
    here = World()
    here.catch_up()
    assert sorted(objects(here)) == [
        "-/namespaces/app",
        "-/namespaces/tenant-1",
        "app/configmaps/settings",
        "app/secrets/keys",
    ]


def test_changes_follow_in_the_order_they_were_seen() -> None:
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        here.api.put("configmaps", config_map("app", "settings", level="debug"))
        here.api.put("configmaps", config_map("app", "new", a="1"))
        here.api.drop("configmaps", "new", "app")
        here.api.put("secrets", secret("tenant-1", "own", token="bm90aGluZw=="))
        run.until_logged(has("tenant-1/secrets/own"))
        run.until(lambda: len(list(LogReader(here.vault, SOURCE).entries())) == 9)
    seen = [(entry.key, entry.data["op"]) for entry in LogReader(here.vault, SOURCE).entries()]
    maps = [pair for pair in seen if "/configmaps/" in pair[0]][1:]
    assert maps == [
        ("app/configmaps/settings", "put"),
        ("app/configmaps/new", "put"),
        ("app/configmaps/new", "delete"),
    ]
    assert sum(one.count for one in here.told if one.kind == "durable") == 9


def test_an_instant_between_two_changes_shows_the_first() -> None:
    here = World()
    here.catch_up()
    here.clock.advance(10)
    between = here.clock.now()
    here.api.put("configmaps", config_map("app", "settings", level="debug"))
    here.catch_up()
    key = ObjectKey("app", "configmaps", "settings")
    assert state_at(here.vault, SOURCE, between).objects[key].object["data"] == {"level": "info"}
    assert state_at(here.vault, SOURCE).objects[key].object["data"] == {"level": "debug"}
    (one,) = coverage(spec(), here.vault, (FailureDomain.LOGICAL,))
    assert one.start <= between <= one.end
    with pytest.raises(DrError) as caught:
        state_at(here.vault, SOURCE, one.start - timedelta(days=1))
    assert caught.value.kind is INSTANT_UNREACHABLE


def written_at(body: Body, at: datetime) -> Body:
    """As an API server notes it: whole seconds."""
    told = {"manager": "test", "operation": "Update", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
    return {**body, "metadata": {**body["metadata"], "managedFields": [told]}}


def test_what_is_seen_late_is_dated_by_when_it_had_happened() -> None:
    """A follower that was away while it was written: the instant between must not miss it, the log has it."""
    here = World()
    here.catch_up()
    here.clock.advance(10)
    here.api.put("configmaps", written_at(config_map("app", "late", a="1"), here.clock.now()))
    here.clock.advance(5)
    between = here.clock.now()
    here.clock.advance(600)
    here.catch_up()
    assert ObjectKey("app", "configmaps", "late") in state_at(here.vault, SOURCE, between).objects
    assert (
        ObjectKey("app", "configmaps", "late")
        not in state_at(here.vault, SOURCE, between - timedelta(seconds=8)).objects
    )


def test_what_is_seen_late_is_not_dated_to_where_nothing_was_missing() -> None:
    """Clocks differ: what came after a consistent list cannot have happened before it."""
    here = World()
    here.catch_up()
    complete = LogReader(here.vault, SOURCE).head().watermark
    assert complete is not None
    here.api.put("configmaps", written_at(config_map("app", "late", a="1"), complete - timedelta(days=1)))
    here.clock.advance(60)
    here.catch_up()
    (entry,) = [one for one in LogReader(here.vault, SOURCE).entries() if one.key == "app/configmaps/late"]
    assert entry.at == complete


def test_a_second_start_finds_nothing_new() -> None:
    here = World()
    here.catch_up()
    before = list(LogReader(here.vault, SOURCE).entries())
    here.catch_up()
    assert list(LogReader(here.vault, SOURCE).entries()) == before


def test_what_changed_while_nobody_looked_is_found_at_the_next_start() -> None:
    here = World()
    here.catch_up()
    here.api.put("configmaps", config_map("app", "made"))
    here.api.put("configmaps", config_map("app", "settings", level="debug"))
    here.api.drop("secrets", "keys", "app")
    here.catch_up()
    there(here, "app/configmaps/made")
    assert objects(here)["app/configmaps/settings"] == {"level": "debug"}
    assert "app/secrets/keys" not in objects(here)


def test_a_namespace_that_is_labelled_later_is_followed_and_one_that_lost_it_is_left() -> None:
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        here.api.put("namespaces", {"metadata": {"name": "other", "labels": {"tenant": "true"}}})
        run.until_logged(has("other/configmaps/not-ours"))
        here.api.put("configmaps", config_map("other", "later"))
        run.until_logged(has("other/configmaps/later"))
        here.api.put("namespaces", {"metadata": {"name": "other"}})
        run.until_logged(has("other/configmaps/later", not_=True))
        here.api.put("configmaps", config_map("other", "unseen"))
        here.api.put("configmaps", config_map("app", "seen"))
        run.until_logged(has("app/configmaps/seen"))
    assert not [key for key in objects(here) if "other" in key]


def test_a_contained_copy_of_a_drill_is_not_followed() -> None:
    here = World()
    here.api.put("namespaces", {"metadata": {"name": "drill-1", "labels": {"tenant": "true", "dr/plan": "p"}}})
    here.api.put("configmaps", config_map("drill-1", "copy"))
    here.catch_up()
    assert not [key for key in objects(here) if "drill" in key]


def test_an_expired_version_is_listed_again_and_nothing_is_missing() -> None:
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        here.api.shut(True)
        run.until_told("reconnected")
        here.api.put("configmaps", config_map("app", "in-the-gap"))
        here.api.drop("secrets", "keys", "app")
        here.api.put("secrets", secret("app", "other", a="Yg=="))
        here.api.events.clear()
        here.api.forgotten = here.api.at
        here.api.shut(False)
        run.until_told("relisted")
        run.until_logged(has("app/configmaps/in-the-gap"))
        run.until_logged(has("app/secrets/keys", not_=True))


def test_a_server_that_has_just_started_and_forbids_everything_is_waited_for() -> None:
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        here.api.forbids = True
        here.api.shut(True)
        here.api.shut(False)
        run.until(lambda: any("not allowed" in one.detail for one in here.told))
        here.api.forbids = False
        here.api.put("configmaps", config_map("app", "after"))
        run.until_logged(has("app/configmaps/after"))


def test_a_server_that_lists_nothing_deletes_nothing() -> None:
    """Cut off, the version gone, and then empty lists for a while."""
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        here.api.shut(True)
        run.until_told("reconnected")
        here.api.forgotten, here.told[:] = here.api.at + 1000, []
        honest = here.api.listed
        here.api.listed = lambda _, listing: replace(listing, items=[])
        here.api.shut(False)
        run.until(lambda: any("is there" in one.detail for one in here.told))
        there(here, "app/configmaps/settings", "app/secrets/keys", "-/namespaces/app")
        here.api.listed, here.api.forgotten = honest, 0
        here.api.put("configmaps", config_map("app", "after"))
        run.until_logged(has("app/configmaps/after"))
    there(here, "app/configmaps/settings", "app/secrets/keys", "-/namespaces/app")


def test_a_kind_that_is_installed_later_is_captured_from_then_on() -> None:
    here = World()
    kind = "kustomizations.kustomize.toolkit.fluxcd.io"
    del here.api.served_kinds[kind]
    here.catch_up()
    here.api.served_kinds[kind] = SERVED[kind]
    here.api.put(kind, {"metadata": {"name": "apps", "namespace": "app"}, "spec": {"path": "./"}})
    here.catch_up()
    there(here, f"app/{kind}/apps")


def test_secrets_without_a_key_are_refused_and_without_secrets_none_is_needed() -> None:
    here = World(sealer=None)
    with pytest.raises(DrError) as caught:
        here.catch_up()
    assert caught.value.kind is CONFIGURATION
    here.catch_up(kinds=["configmaps"])
    assert "app/secrets/keys" not in objects(here)


def test_no_byte_of_a_secret_is_in_the_vault() -> None:
    here = World()
    here.catch_up()
    packed(here)
    raw = b"".join(here.vault.get(info.name) for info in here.vault.list())
    texts = [
        b"".join(decompressing([here.vault.get(info.name)], info.name))
        for info in here.vault.list()
        if info.name.endswith(".zst")
    ]
    assert len(texts) >= 3
    for text in (raw, *texts):
        assert b"aHVudGVyMg" not in text
        assert b"hunter2" not in text


def test_a_writer_that_was_overtaken_is_fenced() -> None:
    here = World()
    with following(here) as run:
        run.until_logged(has("app/configmaps/settings"))
        with LogWriter(here.vault, SOURCE, here.clock) as other:
            other.append([], here.clock.now()).result(PATIENCE_S)
        here.api.put("configmaps", config_map("app", "late"))
        with pytest.raises(DrError) as caught:
            run.until(lambda: False)
    assert caught.value.kind is FENCED


def test_a_clock_that_goes_back_never_takes_the_log_with_it() -> None:
    here = World()
    here.catch_up()
    here.clock.advance(-3600)
    here.api.put("configmaps", config_map("app", "settings", level="debug"))
    here.follower().catch_up(here.vault, lambda: False)
    instants = [entry.at for entry in LogReader(here.vault, SOURCE).entries()]
    assert instants == sorted(instants)
    assert objects(here)["app/configmaps/settings"] == {"level": "debug"}


# --- packs, holes


def lose(here: World, *names: str) -> None:
    """Behind the store's back: no lock prevents that."""
    for name in names:
        here.vault._entries.pop(name)


def packed(here: World, day: int = 1) -> PointManifest:
    """A committed pack, as the runner makes it."""
    source = ConfigSource(here.follower())
    slot = Slot(SOURCE, here.clock.now().replace(microsecond=0) + timedelta(days=day))
    context = FakeContext(clock=here.clock)
    here.clock.advance(60)
    for step in source.capture(slot, here.vault, here.clock.now()):
        context.outcomes[step.name] = step.run(context)
    draft = source.draft(context.outcomes)
    found = ConfigPackInspector().inspect(here.vault, draft.artefacts, draft.details)
    assert all(check.passed for check in against_draft(draft, found)), against_draft(draft, found)
    manifest = PointManifest(
        slot, 1, draft.method, draft.as_of, draft.as_of, here.clock.now(), found.artefacts, found.counts, found.checks,
        (FailureDomain.LOGICAL,), here.clock.now() + timedelta(days=9), "test", details=draft.details,
    )  # fmt: skip
    here.vault.put(manifest.name, encode(manifest), metadata=metadata_of(manifest))
    return manifest


def test_a_pack_begins_with_the_state_before_it_and_needs_no_older_one() -> None:
    here = World()
    here.catch_up()
    packed(here)
    here.api.put("configmaps", config_map("app", "second"))
    here.catch_up()
    second = packed(here, 2)
    before = objects(here)
    mine = {artefact.name for artefact in second.artefacts} | {second.name}
    lose(here, *(info.name for info in here.vault.list() if info.name not in mine))
    assert objects(here) == before
    there(here, "app/configmaps/second", "app/configmaps/settings", "app/secrets/keys")
    assert second.counts["objects"] == 4


def test_a_damaged_base_is_named() -> None:
    here = World()
    here.catch_up()
    manifest = packed(here)
    base = next(one for one in manifest.artefacts if one.name.endswith("base.zst"))
    lose(here, base.name)
    here.vault.put(base.name, here.vault.get(manifest.artefacts[0].name)[:-7])
    checks = ConfigPackInspector().inspect(here.vault, manifest.artefacts, manifest.details).checks
    assert [check.name for check in checks if not check.passed] == [base.name]
    assert base.name == base_of(manifest.artefacts[0].name)


def test_after_a_hole_everything_is_written_down_anew_and_only_from_there_on_is_it_covered() -> None:
    here = World()
    here.catch_up()
    here.api.put("configmaps", config_map("app", "second"))
    here.catch_up()
    here.api.put("configmaps", config_map("app", "third"))
    here.catch_up()
    lose(here, [info.name for info in here.vault.list("log/")][1])
    with pytest.raises(DrError) as caught:
        state_at(here.vault, SOURCE)
    assert caught.value.kind is INSTANT_UNREACHABLE
    here.catch_up()
    there(here, "app/configmaps/second", "app/configmaps/third", "app/configmaps/settings", "app/secrets/keys")
    units = list(LogReader(here.vault, SOURCE).units())
    (before_the_hole,) = covered(units, lambda _: False)
    first, second = packed(here), packed(here, 2)
    pieces = covered(LogReader(here.vault, SOURCE).units(), lambda unit: _whole(here, unit.name))
    assert not _whole(here, first.artefacts[0].name)  # its base would have to be known through the hole
    assert _whole(here, second.artefacts[0].name)
    assert before_the_hole.end < pieces[-1].start <= second.as_of


def _whole(here: World, changes: str) -> bool:
    found = here.vault.stat(base_of(changes))
    return found is not None and found.metadata["dr-whole"] == "yes"


def test_a_flipped_segment_is_named_and_capture_goes_on() -> None:
    here = World()
    here.catch_up()
    (first,) = here.vault.list("log/")
    data = bytearray(here.vault.get(first.name))
    data[len(data) // 2] ^= 1
    lose(here, first.name)
    here.vault.put(first.name, bytes(data), metadata=first.metadata)
    with pytest.raises(DrError) as caught:
        state_at(here.vault, SOURCE)
    assert caught.value.kind is DAMAGED
    assert first.name in caught.value.message
    here.catch_up()
    assert len(list(LogReader(here.vault, SOURCE).segments(1))) == 1


def test_a_pack_is_as_new_as_its_newest_entry() -> None:
    """What was observed after the watermark is in the pack, and the first one could not be restored at its own instant."""
    at = World().clock.now()
    later = at + timedelta(milliseconds=154)
    draft = Draft("config-pack", at, (), {}, {"last": format_instant(later)})
    assert newest(draft) == later
    assert newest(replace(draft, details={"last": None})) == at
    assert newest(replace(draft, details={"last": format_instant(at - timedelta(seconds=1))})) == at


def test_behind_a_hole_the_state_before_it_can_still_be_had_and_the_hole_is_named() -> None:
    here = World()
    here.catch_up()
    packed(here)
    for number in range(3):
        here.api.put("configmaps", config_map("app", f"later-{number}"))
        here.catch_up()
    units = list(LogReader(here.vault, SOURCE).units())
    last = max(unit.last_seq for unit in units if not unit.name.startswith("log/"))
    behind = [unit for unit in units if unit.first_seq > last]
    lose(here, behind[1].name)
    (known,) = coverage(spec(), here.vault, (FailureDomain.LOGICAL,))
    assert "app/configmaps/settings" in {str(key) for key in state_at(here.vault, SOURCE, known.end).objects}
    check = cut_short(LogReader(here.vault, SOURCE), known.end)
    assert not check.passed
    assert behind[1].name in check.detail
    assert cut_short(LogReader(here.vault, SOURCE), known.start - timedelta(seconds=1)).passed
