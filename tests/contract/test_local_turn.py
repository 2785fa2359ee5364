"""`file://`: a process that was stopped in the middle of its turn holds nobody for good."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from dr.errors import UNAVAILABLE, DrError
from dr.stores import local
from dr.stores.local import LocalStore


def test_a_turn_that_never_ends_is_a_temporary_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SEIZE_S", 0.05)
    store = LocalStore(tmp_path)
    info = store.put("a", b"1")
    with (tmp_path / ".dr-tmp" / "exclusive").open("a") as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        with pytest.raises(DrError) as refused:
            store.delete("a", generation=info.generation)
    assert refused.value.kind is UNAVAILABLE
    assert refused.value.temporary
    store.delete("a", generation=info.generation)
    assert store.stat("a") is None
