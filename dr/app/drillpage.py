"""One drill's report as a page, drawn by a process of its own: the pictures take a hundred megabytes that a service should not keep.

`python -m dr.app.drillpage < report.json > report.html`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Lock

from dr.app.core import App
from dr.errors import TIMED_OUT, UNAVAILABLE, DrError
from dr.model.evidence import DrillReport
from dr.record.codec import decode, encode

DEADLINE_S = 60
_ONE_AT_A_TIME = Lock()


def drill_page(app: App, drill: str) -> str:
    """Drawn once, then kept in the cache: a report never changes. Raises DrError."""
    path = app.settings.cache_dir / "drills" / f"{drill}.html"
    with _ONE_AT_A_TIME:
        if not path.exists():
            from dr.run.drill import load_report

            _keep(path, _drawn(load_report(app.control, drill)))
        return path.read_text()


def _drawn(report: DrillReport) -> bytes:
    argv = [sys.executable, "-m", "dr.app.drillpage"]
    try:
        done = subprocess.run(argv, input=encode(report), capture_output=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise DrError(TIMED_OUT, f"the report of {report.id} was not drawn within {DEADLINE_S} s") from None
    if done.returncode:
        raise DrError(UNAVAILABLE, f"the report of {report.id} cannot be drawn here")
    return done.stdout


def _keep(path: Path, page: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(page)
    temporary.replace(path)


def main() -> None:
    from dr.report.drill_html import drill_html

    sys.stdout.write(drill_html(decode(sys.stdin.buffer.read(), DrillReport, "standard input")))


if __name__ == "__main__":
    main()
