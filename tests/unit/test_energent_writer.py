"""The writer's mix: creations, changes and deletions, over a number of documents that stays what it is."""

from __future__ import annotations

from typing import cast

from lab.energent.store import Put, Store
from lab.energent.writer import KEPT, Documents


class Recorded:
    """A store that knows what it holds."""

    def __init__(self) -> None:
        self.held: dict[str, object] = {}
        self.deleted = 0

    def commit(self, put: Put) -> None:
        if put.fields is None:
            assert put.path in self.held, "deletes what it made, once"
            del self.held[put.path]
            self.deleted += 1
        else:
            self.held[put.path] = put.fields


def test_a_long_run_makes_no_larger_a_database() -> None:
    store, most = Recorded(), 0
    writer = Documents(cast("Store", store), "firestore:p/d", 3, "tag")
    for _ in range(5000):
        writer.next().send()
        most = max(most, len(store.held))
    assert KEPT / 2 < most <= KEPT
    assert store.deleted > 1000
