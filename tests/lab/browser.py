"""Chromium without a window, and what it saw: errors on the console, requests, sizes."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from lab import doctor

HEIGHT = 900
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars")


@dataclass(frozen=True, slots=True)
class Seen:
    """One page as it was shown."""

    width: int
    """Of the document: more than the window's means a horizontal scroll bar."""
    requests: tuple[str, ...]
    console: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Browser:
    driver: Chrome

    def show(self, url: str, width: int, *, dark: bool) -> Seen:
        """Load the page in a window of that width."""
        self._command("Emulation.setEmulatedMedia", features=[_scheme(dark)])
        self._size(width, HEIGHT)
        self._logs()
        self.driver.get(url)
        console = tuple(entry["message"] for entry in self.driver.get_log("browser"))
        shown = int(self.script("return document.documentElement.scrollWidth"))
        return Seen(shown, self._logs(), console, self.driver.find_element("tag name", "body").text)

    def script(self, text: str) -> Any:
        return self.driver.execute_script(text)

    def picture(self, path: Path, width: int) -> None:
        """Of the whole page."""
        self._size(width, int(self.script("return document.documentElement.scrollHeight")))
        taken: Any = self._command("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(taken["data"]))

    def _size(self, width: int, height: int) -> None:
        self._command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def _command(self, name: str, **arguments: object) -> object:
        found: object = self.driver.execute_cdp_cmd(name, arguments)
        return found

    def _logs(self) -> tuple[str, ...]:
        """URLs asked for since the last look."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
        return tuple(sent)


def _scheme(dark: bool) -> dict[str, str]:
    return {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}


@contextmanager
def browser() -> Iterator[Browser]:
    """Fails, and says how to get one, where there is none."""
    missing = doctor.missing("browser")
    assert not missing, missing
    options = ChromeOptions()
    for flag in _FLAGS:
        options.add_argument(flag)
    options.binary_location = str(shutil.which("chromium"))
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
