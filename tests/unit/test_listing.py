"""Many names in one sentence."""

from __future__ import annotations

from dr.model.listing import first


def test_what_is_not_named_is_counted() -> None:
    assert first(["a", "b"], 2) == "a, b"
    assert first(["a", "b", "c"], 2) == "a, b and 1 more"
    assert first(["a", "b", "c"], 1, "; ") == "a and 2 more"
    assert first([], 2) == ""
