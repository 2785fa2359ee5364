"""Which strategy and settings captures ran with: what a laptop needs to know when only the buckets are left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Used:
    """From `at` on, captures ran with these two files. Hashes are SHA-256 (hex) of their bytes."""

    at: datetime
    strategy: str
    settings: str
    tool_version: str
