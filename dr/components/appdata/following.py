"""Start a long-running operation once, and follow it to its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

from dr.components.appdata.access import FirestoreApi
from dr.errors import TIMED_OUT, DrError, ErrorKind
from dr.ports import StepContext
from dr.vendors.firestore_operations import Operation

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0


def started_once(
    remembered: Callable[[], Iterable[Operation]], ours: Callable[[Operation], bool], start: Callable[[], Operation]
) -> Operation:
    """Our operation: the one that runs or succeeded already, else a new one. After a start whose answer was lost, the list
    says whether it took effect (I4). Raises the start's DrError when it did not."""

    def found() -> Operation | None:
        return next((one for one in remembered() if ours(one) and not one.error), None)

    existing = found()
    if existing is not None:
        return existing
    try:
        return start()
    except DrError as error:
        existing = found() if error.temporary else None
        if existing is None:
            raise
        return existing


def followed(
    api: FirestoreApi, name: str, what: str, kind: ErrorKind, limit: timedelta, context: StepContext
) -> Operation:
    """The operation once it succeeded. Raises DrError `kind` when it failed or was cancelled, TIMED_OUT after `limit`."""
    began, wait = context.clock.stamp(), _FIRST_WAIT_S
    while True:
        operation = api.operation(name)
        if operation.done:
            break
        _tell(operation, context)
        if context.clock.stamp().seconds_since(began) > limit.total_seconds():
            raise DrError(TIMED_OUT, f"the {what} {name} has not ended within {limit}")
        context.clock.sleep(wait)
        wait = min(wait * 1.5, _LONGEST_WAIT_S)
    if operation.error:
        raise DrError(kind, f"the {what} ended without success: {operation.error}")
    _tell(operation, context)
    return operation


def _tell(operation: Operation, context: StepContext) -> None:
    if operation.documents_total or operation.documents:
        context.progress(operation.documents, operation.documents_total or None, "documents")
    else:
        context.progress(operation.percent, 100 if operation.percent else None, "%")
