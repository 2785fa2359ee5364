"""One switch, turned by several people on several machines."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dr.errors import CONFLICT, DAMAGED, FROZEN, NEWER_FORMAT, DrError
from dr.model.retention import FreezeRecord
from dr.record.codec import encode
from dr.record.freeze import frozen, history, require_not_frozen, turn
from dr.stores.memory import MemoryStore
from tests.unit.fakes import T0


def test_never_frozen() -> None:
    control = MemoryStore()
    assert frozen(control) is None
    require_not_frozen(control)
    assert history(control) == ()


def test_frozen_says_who_and_why() -> None:
    control = MemoryStore()
    turn(control, True, T0, "alice@laptop", "ransomware")
    with pytest.raises(DrError) as caught:
        require_not_frozen(control)
    assert caught.value.kind is FROZEN
    assert caught.value.kind.exit == 5
    for word in ("alice@laptop", "2025-05-28T10:00:00Z", "ransomware"):
        assert word in caught.value.message
    assert "--lift" in caught.value.hint


def test_lifted_and_frozen_again_keeps_the_history() -> None:
    control = MemoryStore()
    for number, on in enumerate((True, False, True)):
        turn(control, on, T0 + timedelta(hours=number), "bob", str(number))
    assert [(record.number, record.on, record.reason) for record in history(control)] == [
        (1, True, "0"),
        (2, False, "1"),
        (3, True, "2"),
    ]
    assert frozen(control) == history(control)[-1]


def test_turning_what_stands_changes_nothing() -> None:
    control = MemoryStore()
    first = turn(control, True, T0, "alice", "first")
    assert turn(control, True, T0 + timedelta(days=1), "bob", "second") == first
    turn(control, False, T0, "bob", "")
    turn(control, False, T0, "bob", "")
    assert len(history(control)) == 2
    assert turn(MemoryStore(), False, T0, "bob", "").number == 0


def test_the_order_is_that_of_the_turns_not_of_the_clocks() -> None:
    control = MemoryStore()
    turn(control, True, T0, "alice", "")
    turn(control, False, T0 - timedelta(days=3), "bob, whose clock is slow", "")
    assert frozen(control) is None


class Racing(MemoryStore):
    """Somebody else is always quicker."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def put(self, name: str, data: bytes, **more: object):  # type: ignore[no-untyped-def, override]
        if self.times > 0:
            self.times -= 1
            number = int(name[7:13])
            super().put(name, encode(FreezeRecord(number, False, T0, "other", "")))
        return super().put(name, data, **more)  # type: ignore[arg-type]


def test_who_loses_the_race_looks_again() -> None:
    control = Racing(1)
    turn(control, True, T0, "alice", "mine")
    assert [record.by for record in history(control)] == ["other", "alice"]
    assert frozen(control) is not None


def test_who_always_loses_is_told() -> None:
    with pytest.raises(DrError) as caught:
        turn(Racing(100), True, T0, "alice", "")
    assert caught.value.kind is CONFLICT


@pytest.mark.parametrize(
    ("data", "kind"), [(b"{", DAMAGED), (b'{"format":2,"kind":"freeze"}\n', NEWER_FORMAT)], ids=["damaged", "newer"]
)
def test_what_cannot_be_read_is_not_taken_for_unfrozen(data: bytes, kind: object) -> None:
    control = MemoryStore()
    control.put("freeze/000001.json", data)
    with pytest.raises(DrError) as caught:
        require_not_frozen(control)
    assert caught.value.kind is kind
