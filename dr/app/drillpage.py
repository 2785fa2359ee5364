"""One drill's report as a page, drawn by a process of its own: the pictures take a hundred megabytes that a service should not keep.

`python -m dr.app.drillpage < report.json > report.html`; with `--sealed` it takes what `dr drill report -o json` wrote.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from dr.app.core import App
from dr.errors import TIMED_OUT, UNAVAILABLE, DrError
from dr.model.evidence import DrillReport
from dr.record.codec import decode, encode

if TYPE_CHECKING:
    from dr.app.evidence import SealedDrill

DEADLINE_S = 60
_ONE_AT_A_TIME = Lock()


def drill_page(app: App, drill: str) -> str:
    """Drawn once, then kept in the cache: it changes only when something is appended. Raises DrError."""
    with _ONE_AT_A_TIME:
        folder = app.settings.cache_dir / "drills"
        kept = [*folder.glob(f"{drill}.html"), *folder.glob(f"{drill}.*.html")]
        try:
            found = _sealed(app, drill)
        except DrError:
            if kept:
                return max(kept, key=lambda path: path.stat().st_mtime).read_text()
            raise
        path = folder / (f"{drill}.{found.number}.html" if found else f"{drill}.html")
        if path not in kept:
            _keep(path, _drawn(app, drill, found))
        return path.read_text()


@dataclass(frozen=True, slots=True)
class _Found:
    """A sealed drill, as it is handed to the process that draws it. `number`: of things appended."""

    content: bytes
    number: int


def _sealed(app: App, drill: str) -> _Found | None:
    """None: not sealed."""
    from dr.app.evidence import sealed_drill
    from dr.report.sealed_file import sealed_json

    found = sealed_drill(app, drill)
    return _Found(sealed_json(found.seal).encode(), len(found.addenda)) if found else None


def page_of(sealed: SealedDrill) -> str:
    """The page of a sealed drill, drawn in this process."""
    from dr.report.dossier_page import Dressed
    from dr.report.drill_html import drill_html

    addenda = tuple(one.addendum for one in sealed.addenda)
    return drill_html(sealed.report, Dressed(sealed.dossier, sealed.seal, addenda)).rstrip() + "\n"


def page_for(app: App, report: DrillReport) -> str:
    """As it was sealed, if it was."""
    from dr.app.evidence import sealed_drill
    from dr.report.drill_html import drill_html

    found = sealed_drill(app, report.id)
    return page_of(found) if found else drill_html(report).rstrip() + "\n"


def _drawn(app: App, drill: str, found: _Found | None) -> bytes:
    from dr.run.drill import load_report

    content = found.content if found else encode(load_report(app.control, drill))
    argv = [sys.executable, "-m", "dr.app.drillpage", *(["--sealed"] if found else [])]
    try:
        done = subprocess.run(argv, input=content, capture_output=True, timeout=DEADLINE_S, check=False)
    except subprocess.TimeoutExpired:
        raise DrError(TIMED_OUT, f"the report of {drill} was not drawn within {DEADLINE_S} s") from None
    if done.returncode:
        raise DrError(UNAVAILABLE, f"the report of {drill} cannot be drawn here")
    return done.stdout


def _keep(path: Path, page: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(page)
    temporary.replace(path)


def main() -> None:
    content = sys.stdin.buffer.read()
    if sys.argv[1:] == ["--sealed"]:
        from dr.app.evidence import sealed_from

        sys.stdout.write(page_of(sealed_from(content)))
    else:
        from dr.report.drill_html import drill_html

        sys.stdout.write(drill_html(decode(content, DrillReport, "standard input")))


if __name__ == "__main__":
    main()
