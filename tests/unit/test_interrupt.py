"""The first Ctrl-C asks, the second insists."""

from __future__ import annotations

import os
import signal

import pytest

from dr.cli.interrupt import interruptible


def test_the_first_asks_and_the_second_insists() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as stop:
        assert not stop()
        os.kill(os.getpid(), signal.SIGINT)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
