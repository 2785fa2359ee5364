"""The status page in a real browser: readable at both widths and in both colour schemes, quiet, at home."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dr.plan.overview import Overview
from dr.report.drill_html import drill_html
from dr.serve.page import Service, status_page
from dr.serve.web import Pages, Server
from tests.lab.browser import Browser, browser
from tests.unit.watched_world import FREEZE, NOW, STRATEGY, overview, reports

pytestmark = pytest.mark.lab
WAYS = [(width, dark) for width in (1280, 400) for dark in (False, True)]
CONTRAST = """
const channel = c => (c /= 255) <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4;
const light = rgb => .2126 * channel(rgb[0]) + .7152 * channel(rgb[1]) + .0722 * channel(rgb[2]);
const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
const ground = node => { for (; node; node = node.parentElement) {
  const c = parse(getComputedStyle(node).backgroundColor); if (c.length == 3 || c[3] > 0) return c } return [255, 255, 255] };
const found = [];
for (const node of document.querySelectorAll('body *')) {
  const own = [...node.childNodes].some(n => n.nodeType == 3 && n.textContent.trim());
  if (!own || !node.getClientRects().length) continue;
  const svg = node.namespaceURI.endsWith('svg'), style = getComputedStyle(node);
  const a = light(parse(svg ? style.fill : style.color)), b = light(ground(node));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) found.push(node.textContent.trim().slice(0, 40) + ': ' + ratio.toFixed(2));
}
return found;
"""
"""Texts whose contrast is below what WCAG asks for."""
CUT = """
return [...document.querySelectorAll('body *')].filter(n => n.getClientRects().length && n.getBoundingClientRect().right > innerWidth + 1)
  .map(n => n.tagName + ' ' + n.textContent.trim().slice(0, 40));
"""


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A service that saw all that can go wrong."""
    said = (Service("Lead", "this replica does the work"), Service("slack", "hooks.slack.com answered 503", good=False))
    drills = {report.id: report for report in reports()}

    def page() -> str:
        return status_page(STRATEGY, "production", frozen, said, NOW)

    frozen: Overview = overview(frozen=FREEZE)
    pages = Pages(page, lambda: b"", lambda: "", lambda drill: drill_html(drills[drill]) if drill in drills else None)
    server = Server("127.0.0.1:0", pages)
    server.start()
    yield f"http://127.0.0.1:{server.port}"
    server.stop()


@pytest.mark.parametrize(("width", "dark"), WAYS)
def test_it_is_readable_quiet_and_asks_nobody_else(window: Browser, origin: str, width: int, dark: bool) -> None:
    seen = window.show(f"{origin}/", width, dark=dark)
    assert seen.console == ()
    assert set(seen.requests) <= {f"{origin}/", "data:,"}
    assert seen.width <= width
    assert window.script(CUT) == []
    assert window.script(CONTRAST) == []
    for words in ("2 rows are missed", "FROZEN by ann", "What can be restored", "drill missed", "answered 503"):
        assert words in seen.text
    if folder := os.environ.get("DR_PICTURES"):
        window.picture(Path(folder) / f"status-{width}-{'dark' if dark else 'light'}.png", width)


def test_one_picture_for_each_width(window: Browser, origin: str) -> None:
    shown = "return [...document.querySelectorAll('svg.strip')].filter(s => s.getClientRects().length).map(s => s.viewBox.baseVal.width)"
    for width, picture in ((1280, 1040), (400, 330)):
        window.show(f"{origin}/", width, dark=False)
        assert window.script(shown) == [picture] * 4


@pytest.mark.parametrize("width", [1280, 400])
def test_a_drill_is_one_click_away(window: Browser, origin: str, width: int) -> None:
    window.show(f"{origin}/", width, dark=False)
    window.driver.find_element("css selector", "#drills ~ table a, [aria-labelledby=drills] a").click()
    assert window.driver.current_url == f"{origin}/drills/{reports()[1].id}"
    seen = window.show(window.driver.current_url, width, dark=True)
    assert (seen.console, seen.width <= width) == ((), True)
    assert "quarterly" in seen.text
    assert all(url.startswith(origin) or url == "data:," for url in seen.requests)
