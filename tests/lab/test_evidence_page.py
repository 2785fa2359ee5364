"""The sealed page in a real browser: readable at both widths, in both colour schemes and in print, and alone."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.app.drillpage import page_of
from dr.app.evidence import add_note, assign, seal_drill, sealed_drill, sign_off
from dr.app.verifying import verify_file
from dr.model.evidence import Verdict
from dr.model.strategy import FailureDomain
from tests.lab.browser import Browser, browser
from tests.lab.test_status_page import CONTRAST, CUT, WAYS
from tests.unit.evidence_world import ANN, BEN, IDLE, Site, hold_drill, measured, site
from tests.unit.watched_world import CONFIG

pytestmark = pytest.mark.lab
NAME = "quarterly-20250528T100012Z-9f02"
BROKEN = (
    "data/appdata.firestore.energent-metadata-production@20250528T100000Z/1/output-0: sha256 differs from the manifest"
)
OPENED = "document.querySelectorAll('details').forEach(found => found.open = true)"


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def page(here: Site) -> Path:
    """A drill that failed, after four others, with all that may be appended."""
    for number, seconds in enumerate((5200.0, 9.0, 310.0, 12.5), 1):
        verdict = Verdict.MET if seconds < 3600 else Verdict.MISSED
        hold_drill(here, f"quarterly-{number}", [measured(seconds, verdict)])
        seal_drill(here.app, f"quarterly-{number}")
        here.clock.advance(90 * 86400)
    broken = measured(43, Verdict.FAILED, domain=FailureDomain.LOGICAL, findings=(BROKEN,))
    lucky = measured(
        52, Verdict.LUCKY, component="config", source=str(CONFIG), findings=("the mode guarantees nothing",)
    )
    hold_drill(here, NAME, [measured(), broken, lucky, IDLE])
    add_note(here.app, NAME, ANN, "restarted the storage proxy by hand")
    seal_drill(here.app, NAME)
    assign(here.app, NAME, BEN, "F1", "Dee Fox", "2026-07-01", "")
    sign_off(here.app, NAME, BEN, "accepted, F1 to be tested again")
    found = sealed_drill(here.app, NAME)
    assert found is not None
    path = here.folder / "report.html"
    path.write_text(page_of(found))
    return path


@pytest.mark.parametrize(("width", "dark"), WAYS)
def test_it_is_readable_and_asks_nobody_for_anything(window: Browser, page: Path, width: int, dark: bool) -> None:
    seen = window.show(page.as_uri(), width, dark=dark)
    window.script(OPENED)
    assert seen.console == ()
    assert set(seen.requests) <= {page.as_uri(), "data:,"}
    assert window.script("return document.documentElement.scrollWidth") <= width
    assert window.script(CUT) == []
    assert window.script(CONTRAST) == []
    for words in (
        "Sealed and signed by",
        "Ann Lee",
        "owner Dee Fox",
        "Critical path",
        "accepted, F1",
        "not tested again yet",
    ):
        assert words in seen.text
    if folder := os.environ.get("DR_PICTURES"):
        window.picture(Path(folder) / f"evidence-{width}-{'dark' if dark else 'light'}.png", width)


def test_the_seal_is_in_the_page_and_not_in_sight(window: Browser, page: Path, here: Site) -> None:
    seen = window.show(page.as_uri(), 1280, dark=False)
    assert "payloadType" not in seen.text
    assert verify_file("page", page.read_bytes(), here.public_key).passed


def test_it_prints_whole(window: Browser, page: Path) -> None:
    window.show(page.as_uri(), 1280, dark=True)
    window._command("Emulation.setEmulatedMedia", media="print")
    try:
        assert window.script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        shown = window.script("return document.querySelector('.journal').getClientRects().length")
        assert shown, "what is folded on the screen is printed"
        made = window._command("Page.printToPDF", paperWidth=8.27, paperHeight=11.69)
    finally:
        window._command("Emulation.setEmulatedMedia", media="")
    assert isinstance(made, dict)
    content = base64.b64decode(made["data"])
    assert content.startswith(b"%PDF")
    assert 2 <= content.count(b"/Type /Page\n") <= 12
    if folder := os.environ.get("DR_PICTURES"):
        (Path(folder) / "evidence.pdf").write_bytes(content)
