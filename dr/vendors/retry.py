"""The one retry of a single call: temporary errors only, jittered back-off, bounded in attempts and in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from dr.errors import DrError

T = TypeVar("T")


def with_retry(
    call: Callable[[], T],
    *,
    what: str,
    attempts: int = 5,
    deadline_s: float = 60,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call until it returns, fails permanently, or `attempts` or `deadline_s` are used up.

    Only for calls that are safe to repeat (reads, writes with a precondition). Raises the last DrError; a temporary
    one then says how often `what` was tried.
    """
    retrying = Retrying(
        stop=stop_after_attempt(attempts) | stop_after_delay(deadline_s),
        wait=wait_random_exponential(multiplier=0.2, max=8),
        retry=retry_if_exception(lambda error: isinstance(error, DrError) and error.temporary),
        sleep=sleep,
        reraise=True,
    )
    try:
        return retrying(call)
    except DrError as error:
        tried = int(retrying.statistics.get("attempt_number", 1))
        if not error.temporary or tried < 2:
            raise
        hint = error.hint or f"{what} may work later"
        raise DrError(error.kind, f"{error.message} (tried {tried} times)", hint=hint) from error
