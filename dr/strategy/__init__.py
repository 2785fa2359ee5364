"""The strategy file: read, checked, and turned into `dr.model.strategy.Strategy`. pydantic is imported when one is read."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from dr.model.strategy import Strategy
from dr.strategy.remembered import recall, remember

DEFAULT_NAME = "default-strategy.yaml"


def default_strategy_text() -> str:
    """The strategy that ships with `dr`, as `dr init` writes it."""
    return resources.files("dr").joinpath(DEFAULT_NAME).read_text(encoding="utf-8")


def load_strategy(path: Path | None, remembered: Path | None = None) -> Strategy:
    """The strategy in `path`, or the shipped default. Raises DrError CONFIGURATION: `file:line: field: sentence`.

    `remembered`: a folder where strategies that were found good are kept, so that they need not be checked again.
    """
    return load_table(path, remembered)[0]


def load_table(path: Path | None, remembered: Path | None = None) -> tuple[Strategy, bytes]:
    """As `load_strategy`; also the bytes that it was read from."""
    try:
        content = path.read_bytes() if path else default_strategy_text().encode()
    except OSError:
        content = b""  # the slow way tells what is wrong with the file
    known = recall(remembered, hashlib.sha256(content).hexdigest()) if remembered else None
    if known is not None:
        return known, content
    from dr.strategy.load import strategy_from, strategy_of

    if not content and path:
        return strategy_from(path), content
    strategy = strategy_of(str(path or DEFAULT_NAME), content)
    if remembered:
        remember(remembered, strategy)
    return strategy, content


def parse_strategy(name: str, content: bytes) -> Strategy:
    """From bytes; `name` is how errors call them. Raises as `load_strategy`."""
    from dr.strategy.load import strategy_of

    return strategy_of(name, content)
