"""The living log as a witness: what it asks for, what it leaves out, what it refuses; and what a drill needs of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dr.components.audit.entry import fingerprint, key_of
from dr.components.audit.living import LivingLog, sent_until
from dr.components.audit.ready import check_ready
from dr.errors import DAMAGED, NOT_AUTHORISED, NOT_FOUND, REJECTED, UNREACHABLE, DrError
from dr.plan.modes import PUBSUB
from dr.plan.permissions import READ_ENTRIES, READ_SINK
from dr.vendors.sinks import Sink
from tests.unit.pubsub_fake import SPEC, FakeSinks, log_entry

AT = datetime(2025, 5, 28, 10, tzinfo=UTC)
SINK = Sink("d", 'logName:"a" OR logName:"b"', False, "w", ('severity="DEBUG"',))
NAMELESS = replace(SPEC, options={**SPEC.options, "sink": ""})


@dataclass
class FakeEntries:
    """`EntriesApi`."""

    held: Sequence[Mapping[str, Any]] = ()
    asked: list[str] = field(default_factory=list)
    given: int = 0

    def newest(self, project: str, wanted: str) -> Iterator[Mapping[str, Any]]:
        self.asked.append(f"{project}: {wanted}")
        for entry in self.held:
            self.given += 1
            yield entry


def entry(number: int, age: timedelta, received: timedelta | None = None) -> dict[str, object]:
    late = {} if received is None else {"receiveTimestamp": (AT - received).isoformat()}
    return log_entry(number, AT - age, **late)


def test_the_sinks_filter_is_one_term_and_its_exclusions_are_taken_out() -> None:
    assert sent_until(SINK, AT) == (
        'timestamp>="2025-05-21T10:00:00Z" AND timestamp<="2025-05-28T10:00:00Z" AND (logName:"a" OR logName:"b"\n)'
        ' AND NOT (severity="DEBUG"\n)'
    )
    assert sent_until(replace(SINK, filtered="", exclusions=()), AT).count("AND") == 1


def test_an_entry_has_the_name_and_hash_of_its_restored_copy_and_the_time_of_its_receipt() -> None:
    body = entry(1, timedelta(minutes=9), timedelta(minutes=5))
    (found,) = LivingLog(FakeEntries([body]), FakeSinks()).read(SPEC, AT)
    assert (found.path, found.sha256) == (key_of(body), fingerprint(body))
    assert found.updated == AT - timedelta(minutes=5)


def test_what_may_still_be_on_its_way_through_the_sink_is_not_judged() -> None:
    minute = timedelta(minutes=1)
    entries = FakeEntries([entry(1, 2 * minute, minute / 2), entry(2, 2 * minute, minute), entry(3, 2 * minute)])
    found = list(LivingLog(entries, FakeSinks()).read(SPEC, AT))
    assert [one.path.rpartition("|")[2] for one in found] == ["i2", "i3"]
    assert 'timestamp<="2025-05-28T09:59:00Z"' in entries.asked[0]


def test_no_more_is_asked_for_than_is_kept() -> None:
    entries = FakeEntries([entry(number, timedelta(hours=1)) for number in range(10)])
    assert len(list(LivingLog(entries, FakeSinks(), most=3).read(SPEC, AT))) == 3
    assert entries.given == 3


@pytest.mark.parametrize(
    ("spec", "sinks", "kind"), [(NAMELESS, FakeSinks(), REJECTED), (SPEC, FakeSinks(found=None), NOT_FOUND)]
)
def test_without_a_sink_nobody_knows_what_was_to_be_sent(spec: Any, sinks: FakeSinks, kind: object) -> None:
    with pytest.raises(DrError) as caught:
        LivingLog(FakeEntries(), sinks).read(spec, AT)
    assert caught.value.kind is kind


@pytest.mark.parametrize("lacking", ["timestamp", "logName", "insertId"])
def test_an_entry_without_a_name_is_no_evidence(lacking: str) -> None:
    body = entry(1, timedelta(hours=1))
    del body[lacking]
    with pytest.raises(DrError) as caught:
        list(LivingLog(FakeEntries([body]), FakeSinks()).read(SPEC, AT))
    assert caught.value.kind is DAMAGED


def test_only_a_source_that_names_its_sink_is_drilled_by_schedule() -> None:
    assert PUBSUB.witnesses(SPEC)
    assert not PUBSUB.witnesses(NAMELESS)


# --- dr check --pre


def lacking(*names: str) -> Any:
    return lambda _project, wanted: tuple(name for name in wanted if name in names)


def refusing(_project: str, _wanted: Sequence[str]) -> tuple[str, ...]:
    raise DrError(UNREACHABLE, "nobody answers")


def test_everything_is_held() -> None:
    checks = check_ready(SPEC, lacking(), FakeSinks())
    assert [check.passed for check in checks] == [True, True]


@pytest.mark.parametrize("name", [READ_SINK, *READ_ENTRIES])
def test_a_missing_permission_is_named(name: str) -> None:
    (first, _) = check_ready(SPEC, lacking(name), FakeSinks())
    assert not first.passed
    assert first.detail == f"missing: {name}"


def test_a_failure_to_look_is_a_failed_check() -> None:
    refused = FakeSinks(error=DrError(NOT_AUTHORISED, "not yours"))
    checks = check_ready(SPEC, refusing, refused)
    assert [(check.passed, check.detail) for check in checks] == [(False, "nobody answers"), (False, "not yours")]


def test_without_a_sink_a_restore_needs_nothing_of_cloud_logging() -> None:
    (only,) = check_ready(NAMELESS, refusing, FakeSinks())
    assert only.passed
    assert "--witness" in only.detail
