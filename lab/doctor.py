"""What this machine lacks for the lab, one line each with how to install it.

Runs before anything is installed (`python3 lab/doctor.py`), so: the standard library only, and nothing that an old
Python could not read until its version was looked at.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)  # as a script only its own folder is on the path

JAVA_LEAST = 17
SCOPES = ("python", "data", "full", "browser")
"""`python`: to set up the environment; `data`: for a lab without Kubernetes, which needs no Go; `full`: a whole lab;
`browser`: what only tests of pages need."""


def missing(scope: str = "full", python: tuple[int, int] = (sys.version_info[0], sys.version_info[1])) -> list[str]:
    """One sentence for each thing that is missing; the same thing once."""
    found = _python(python)
    if scope == "python" or found:
        return found
    if scope == "browser":
        return browser()
    sentences = [*_java(), *_emulators(), *(_go() if scope == "full" else [])]
    return list(dict.fromkeys(sentences))


def _python(version: tuple[int, int]) -> list[str]:
    if version < (3, 11):
        return [f"Python >= 3.11 is needed and this is {version[0]}.{version[1]}: apt-get install python3.11"]
    if importlib.util.find_spec("ensurepip") is None:
        return ["Python's venv is missing: apt-get install python3-venv"]
    return []


def _java() -> list[str]:
    """The emulators' runtime."""
    how = "apt-get install openjdk-17-jre-headless"
    java = shutil.which("java")
    if java is None:
        return [f"Java >= {JAVA_LEAST} is missing: {how}"]
    shown = subprocess.run((java, "-version"), capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', shown)
    if found and int(found[1]) >= JAVA_LEAST:
        return []
    have = f"is {found[1]}" if found else "does not tell its version"
    return [f"Java >= {JAVA_LEAST} is needed and {java} {have}: {how}"]


def browser() -> list[str]:
    """Chromium and its driver, as Debian names them."""
    missed = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    how = "apt-get install chromium chromium-driver, or as root: make browser"
    return [f"{' and '.join(missed)} missing: {how}"] if missed else []


def _emulators() -> list[str]:
    """Whatever the emulators' own module says of where it looked."""
    from lab.emulators import firestore_command, pubsub_command

    if not shutil.which("java"):
        return []  # `_java` has said so
    return [*_sentence(lambda: firestore_command(1)), *_sentence(lambda: pubsub_command(1))]


def _go() -> list[str]:
    """Only for binaries that neither the cache nor the machine has."""
    from lab import build

    wanting = [module for module in build.MODULES if module.missing()]
    return [sentence for module in wanting for sentence in _sentence(partial(build.require_go, module))]


def _sentence(check: Callable[[], object]) -> list[str]:
    from lab.state import LabError

    try:
        check()
    except LabError as error:
        return [str(error)]
    return []


def main() -> None:
    """Exit 1 when something is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=SCOPES, default="full")
    sentences = missing(parser.parse_args().only)
    for sentence in sentences:
        print(f"missing: {sentence}", file=sys.stderr)
    sys.exit(1 if sentences else 0)


if __name__ == "__main__":
    main()
