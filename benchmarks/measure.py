"""Timing of whole processes: several runs in turn after a warm-up, medians, and ratios pair by pair."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

OUT = Path("out/bench")


def run_once(argv: Sequence[str], environment: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)) -> float:
    """Seconds of wall time from start to exit. Raises RuntimeError on an unexpected exit code."""
    began = time.perf_counter()
    done = subprocess.run(argv, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False)
    took = time.perf_counter() - began
    if done.returncode not in codes:
        raise RuntimeError(
            f"{' '.join(argv)} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}"
        )
    return took


def spread(values: Sequence[float]) -> dict[str, float]:
    """Minimum, median, maximum."""
    return {"min": round(min(values), 4), "median": round(statistics.median(values), 4), "max": round(max(values), 4)}


def paired(first: Sequence[float], second: Sequence[float]) -> dict[str, float]:
    """Ratios first/second, pair by pair."""
    return spread([a / b for a, b in zip(first, second, strict=True)])


def report(name: str, result: Mapping[str, object]) -> None:
    """Print, and keep as `out/bench/<name>.json`."""
    OUT.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"benchmark": name, **result}, indent=2)
    (OUT / f"{name}.json").write_text(text + "\n")
    print(text)
