"""A follower in memory, and the contract that every follower keeps."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from dr.errors import CONFLICT, FENCED, DrError
from dr.model.ids import SourceId
from dr.ports import Clock, Notice, ObjectStore
from tests.unit.record_fakes import DATABASE


@dataclass
class World:
    """What happens, in order; followers take it from `taken` on."""

    events: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def happen(self, *events: str) -> None:
        with self.lock:
            self.events += events


@dataclass
class FakeFollower:
    """Appends what happened to numbered, create-only segments (`ports.Follower`)."""

    world: World
    clock: Clock
    source: SourceId = DATABASE
    pause: threading.Event = field(default_factory=threading.Event)
    before_write: Callable[[], None] = lambda: None

    @property
    def prefix(self) -> str:
        return f"log/{self.source.slug}/"

    def follow(self, vault: ObjectStore, stop: Callable[[], bool], notice: Callable[[Notice], None]) -> None:
        seq, taken = self._head(vault)
        while not stop():
            seq, taken = self._append(vault, seq, taken, notice)
            self.pause.wait(0.002)
        self._append(vault, seq, taken, notice)

    def catch_up(self, vault: ObjectStore, stop: Callable[[], bool]) -> datetime:
        self._append(vault, *self._head(vault), lambda _notice: None)
        return self.clock.now()

    def _head(self, vault: ObjectStore) -> tuple[int, int]:
        names = [info.name for info in vault.list(self.prefix)]
        return len(names), sum(len(json.loads(vault.get(name))["events"]) for name in names)

    def _append(self, vault: ObjectStore, seq: int, taken: int, notice: Callable[[Notice], None]) -> tuple[int, int]:
        fresh = self.world.events[taken:]
        if not fresh:
            return seq, taken
        self.before_write()
        # the writer's own name: two writers of the same events are two writers all the same
        body = json.dumps({"events": fresh, "from": taken, "writer": id(self)}).encode()
        try:
            vault.put(f"{self.prefix}{seq + 1:012d}", body)
        except DrError as error:
            if error.kind is not CONFLICT:
                raise
            raise DrError(FENCED, f"segment {seq + 1} of {self.source} was written by another") from error
        notice(Notice(self.source, "durable", len(fresh)))
        return seq + 1, taken + len(fresh)


def archived(vault: ObjectStore, source: SourceId = DATABASE) -> list[str]:
    """All events in the log, in order."""
    names = [info.name for info in vault.list(f"log/{source.slug}/")]
    return [event for name in names for event in json.loads(vault.get(name))["events"]]


def ignore(_notice: Notice) -> None:
    """A listener for those who want none."""


def follower_contract(make: Callable[[], FakeFollower], happen: Callable[..., None], vault: ObjectStore) -> None:
    """What the service relies on. `make` opens another follower of the same source."""
    happen("one", "two")
    make().follow(vault, lambda: True, ignore)
    assert archived(vault) == ["one", "two"], "what it had taken when it was stopped is not durable"
    happen("three")
    assert make().catch_up(vault, lambda: False) is not None
    assert archived(vault) == ["one", "two", "three"], "a second one does not continue where the first ended"
    rival, slow = make(), make()
    happen("four")
    slow.before_write = lambda: rival.catch_up(vault, lambda: False) and None
    with pytest.raises(DrError) as caught:
        slow.follow(vault, lambda: True, ignore)
    assert caught.value.kind is FENCED
    assert archived(vault) == ["one", "two", "three", "four"]
