"""A log that lives is waited for until it has passed the instant; a silent one, and the future, are not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dr.app.settled import may_come

T = datetime(2026, 5, 28, 10, tzinfo=UTC)
PATIENCE = timedelta(seconds=60)


@pytest.mark.parametrize(
    ("watermark", "now", "waited"),
    [
        (-5, 1, True),
        (0, 1, False),
        (3, 4, False),
        (-50, 9, True),
        (-50, 11, False),
        (-5, -1, False),
        (None, 1, False),
    ],
    ids=["behind", "just there", "past", "nearly silent", "silent", "an instant to come", "empty"],
)
def test_only_a_living_log_is_waited_for(watermark: float | None, now: float, waited: bool) -> None:
    reached = None if watermark is None else T + timedelta(seconds=watermark)
    assert may_come(reached, T, T + timedelta(seconds=now), PATIENCE) is waited
