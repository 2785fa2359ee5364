"""One Firestore stack for the session; a "minute" is one second in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.stack import Stack, running


@pytest.fixture(scope="session")
def firestore_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Emulators, tokens, Cloud Storage, the Firestore front and the Pub/Sub proxy on free ports."""
    with running(tmp_path_factory.mktemp("lab"), requests_per_minute=1000, id_reservation=2, recent_window=20) as stack:
        yield stack
