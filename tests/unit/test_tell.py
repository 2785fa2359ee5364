"""What people are told: once when it is wrong, once when it is over; and when the signal of life is withheld."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dr.errors import UNREACHABLE, DrError
from dr.plan.tell import (
    BLIND,
    SETTLE,
    Condition,
    Failing,
    Message,
    Severity,
    Signs,
    Told,
    conditions,
    next_message,
    withheld,
)
from dr.record.told import Ledger, load_ledger
from dr.run.telling import LONGEST_PAUSE_S, Channel, DeadMan, Heard
from tests.unit.watched_world import DATABASE, FREEZE, NOW, S, coverage, overview, points

LATE = Condition("late db", "", Severity.CRITICAL, "db is late.", "db is on time again.")
FROZEN = Condition("freeze", "1", Severity.WARNING, "Frozen.", "The freeze was lifted.")


def keys(found: tuple[Condition, ...]) -> list[str]:
    return [condition.key for condition in found]


# --- what is wrong -----------------------------------------------------------------------------------------------------


def test_all_that_is_wrong_is_named_once_with_its_domains() -> None:
    found = conditions(overview(frozen=FREEZE), {}, NOW, NOW)
    assert keys(found) == [
        "no point cluster/velero/energent-production",
        "drill cluster/velero/energent-production",
        "freeze",
    ]
    assert found[0].text == "cluster/velero/energent-production (project): there is no recovery point."
    assert "source missed (drill quarterly-20250527T020000Z-9f02)" in found[1].text


def test_a_silent_log_and_a_late_point_are_said_differently() -> None:
    late = overview(given=points(appdata_age=1500 * S), covered=[replace(c, end=c.end - 300 * S) for c in coverage()])
    said = {condition.key: condition.text for condition in conditions(late, {}, NOW, NOW)}
    assert said[f"late {DATABASE}"].endswith("the newest point is of 2025-05-28T09:35:12Z, allowed are 15m.")
    assert (
        "the change log is silent since 2025-05-28T09:55:09Z, allowed are 1m"
        in said["late audit/pubsub/energent-security-sink"]
    )


def test_one_failed_capture_is_repeated_three_are_told() -> None:
    one, three = ({DATABASE: Failing(count, "error unreachable")} for count in (2, 3))
    assert f"capture {DATABASE}" not in keys(conditions(None, one, NOW, NOW))
    assert f"capture {DATABASE}" in keys(conditions(None, three, NOW, NOW))


def test_who_does_not_hear_from_the_stores_says_so() -> None:
    assert keys(conditions(None, {}, NOW, NOW - BLIND)) == ["stores"]
    assert keys(conditions(None, {}, NOW, NOW - BLIND + S)) == []
    assert "stores" in keys(conditions(overview(listed=NOW - BLIND), {}, NOW, NOW - 2 * BLIND))


# --- what is said ------------------------------------------------------------------------------------------------------


def test_a_message_for_what_is_new_and_one_when_it_is_over() -> None:
    message, told = next_message({}, [LATE, FROZEN], NOW)
    assert message is not None
    assert (message.severity, message.title) == (Severity.CRITICAL, "2 new, 0 over, 2 open")
    assert message.text == "db is late.\nFrozen."
    assert next_message(told, [LATE, FROZEN], NOW + SETTLE)[0] is None, "no message repeats itself"
    nothing, told = next_message(told, [FROZEN], NOW + 10 * S)
    assert nothing is None, "it may come back"
    message, told = next_message(told, [FROZEN], NOW + 10 * S + SETTLE)
    assert message == Message("db is on time again. It lasted 10s.", "db is on time again. It lasted 10s.",
                              Severity.RESOLVED, {"open": "1"})  # fmt: skip
    assert list(told) == ["freeze"]


def test_what_flaps_is_told_once() -> None:
    told: Mapping[str, Told] = {}
    said = 0
    for step in range(40):
        message, told = next_message(told, [LATE] if step % 2 else [], NOW + step * SETTLE / 2)
        said += message is not None
    assert said == 1


def test_another_state_of_the_same_is_news() -> None:
    _, told = next_message({}, [FROZEN], NOW)
    message, _ = next_message(told, [replace(FROZEN, state="2", text="Frozen again.")], NOW)
    assert message is not None
    assert message.text == "Frozen again."


@given(st.lists(st.tuples(st.sets(st.sampled_from("abc")), st.integers(1, 300)), max_size=30))
def test_each_alarm_is_followed_by_at_most_one_end(history: list[tuple[set[str], int]]) -> None:
    """For every key: raised, over, raised, over...; and what is wrong for good has been told."""
    told: Mapping[str, Told] = {}
    at, open_now = NOW, set[str]()
    for active, seconds in history:
        at += timedelta(seconds=seconds)
        wrong = [Condition(key, "", Severity.WARNING, f"+{key}", f"-{key}") for key in sorted(active)]
        message, told = next_message(told, wrong, at)
        for line in message.text.split("\n") if message else ():
            assert (line[1] in open_now) == (line[0] == "-")
            open_now ^= {line[1]}
        assert active <= open_now


# --- a channel ---------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """A notifier that can be away."""

    away: bool = False
    got: list[str] = field(default_factory=list)

    def send(self, title: str, text: str, severity: str, facts: Mapping[str, str]) -> None:
        if self.away:
            raise DrError(UNREACHABLE, "hook.example does not answer")
        self.got.append(f"{severity}: {text}")


@dataclass
class Ears:
    """What was counted and logged."""

    sent: list[str] = field(default_factory=list)
    unsent: list[str] = field(default_factory=list)

    def heard(self) -> Heard:
        return Heard(lambda name, _: self.sent.append(name), lambda name, error: self.unsent.append(error.message))


def channel(receiver: Receiver, file: Path, ears: Ears | None = None) -> Channel:
    return Channel("webhook", receiver, file, (ears or Ears()).heard())


def test_a_receiver_that_is_down_shows_and_hears_of_it_when_it_is_back(tmp_path: Path) -> None:
    receiver, ears = Receiver(away=True), Ears()
    one = channel(receiver, tmp_path / "told.json", ears)
    pauses = []
    for minute in range(8):
        assert not one.step([LATE], NOW + minute * 60 * S)
        pauses.append(one.pause_s)
    assert pauses[:3] == [10, 20, 40]
    assert max(pauses) == LONGEST_PAUSE_S
    failure = load_ledger(tmp_path / "told.json").failure
    assert failure is not None
    assert (failure.since, failure.message) == (NOW, "hook.example does not answer")
    assert len(ears.unsent) == 8
    receiver.away = False
    assert one.step([LATE], NOW + 600 * S)
    assert receiver.got == ["critical: db is late."]
    assert (one.pause_s, one.ledger.failure, ears.sent) == (0, None, ["webhook"])


def test_what_was_over_before_anybody_could_hear_it_is_not_told(tmp_path: Path) -> None:
    receiver = Receiver(away=True)
    one = channel(receiver, tmp_path / "told.json")
    one.step([LATE], NOW)
    receiver.away = False
    one.step([], NOW + 10 * SETTLE)
    assert receiver.got == []


def test_a_service_that_is_restarted_does_not_say_it_all_again(tmp_path: Path) -> None:
    receiver = Receiver()
    channel(receiver, tmp_path / "told.json").step([LATE], NOW)
    again = channel(receiver, tmp_path / "told.json")
    again.step([LATE], NOW + 60 * S)
    assert len(receiver.got) == 1
    again.step([], NOW + 90 * S)
    again.step([], NOW + 90 * S + SETTLE)
    assert receiver.got[1] == "resolved: db is on time again. It lasted 1m30s."


def test_a_cache_that_cannot_be_written_silences_nobody(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    receiver = Receiver()
    channel(receiver, tmp_path / "file" / "told.json").step([LATE], NOW)
    assert receiver.got == ["critical: db is late."]
    (tmp_path / "told.json").write_text('{"format": 1, "ledger": 3}')
    assert load_ledger(tmp_path / "told.json") == Ledger()


# --- the signal of life ------------------------------------------------------------------------------------------------

WELL = Signs(True, NOW - 5 * S, overview(given=points()))


def test_doubt_withholds_the_signal() -> None:
    good = overview(drilled=())
    well = replace(WELL, overview=replace(good, rows=tuple(row for row in good.rows if row.component != "cluster")))
    assert withheld(well, NOW) == ""
    assert withheld(replace(well, leads=False), NOW) == "this replica does not lead"
    assert withheld(replace(well, looked=NOW - BLIND), NOW) == "nothing decides what is due"
    assert withheld(replace(well, looked=None), NOW) == "nothing decides what is due"
    assert withheld(replace(well, overview=None), NOW) == "the stores were not asked for too long"
    assert withheld(well, NOW + BLIND) == "nothing decides what is due"
    assert withheld(WELL, NOW) == "cluster/velero/energent-production is no point"


@pytest.mark.parametrize("reason", ["", "this replica does not lead"])
def test_the_signal_is_given_only_when_nothing_withholds_it(reason: str) -> None:
    given: list[str] = []
    told: list[DrError | None] = []
    dead = DeadMan(lambda: given.append("ping"), lambda: reason, 60.0, told.append)
    assert dead.step() == 60.0
    assert (given, told, dead.reason) == (([], [], reason) if reason else (["ping"], [None], ""))


def test_a_signal_that_nobody_takes_is_said(tmp_path: Path) -> None:
    told: list[DrError | None] = []

    def away() -> None:
        raise DrError(UNREACHABLE, "hc.example does not answer")

    dead = DeadMan(away, lambda: "", 60.0, told.append)
    dead.step()
    assert dead.reason == "hc.example does not answer"
    assert isinstance(told[0], DrError)
