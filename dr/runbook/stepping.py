"""Stepping through a page: every block in a shell of its own, which hands its variables on to the next."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO

from dr.errors import CONFIGURATION, DrError
from dr.model.runbooks import Doing, RunbookRun, RunbookStep
from dr.runbook.pages import Block, Page

SHELL = "/bin/bash"
STATE = "DR_RUNBOOK_STATE"
_WRAP = f"""set -aeuo pipefail
trap 'env -0 > "${STATE}"' EXIT
"""
"""Every assignment is exported, and what is exported at the end is what the next block begins with."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of a step: `do` it, `skip` it, or `stop` here. `asked`: a person said so."""

    word: str
    asked: bool


Ask = Callable[[int, Block], Answer]
"""Called before each block, with its number from 1."""
Shell = Callable[[str, Mapping[str, str]], tuple[int, Mapping[str, str]]]
"""(commands, environment) -> exit code, and the environment that they left."""


def bash(
    command: str, environment: Mapping[str, str], output: IO[bytes] | None = None
) -> tuple[int, Mapping[str, str]]:
    """In the foreground, with this terminal, or with all output in a file. Raises DrError CONFIGURATION where there is no
    bash."""
    with tempfile.TemporaryDirectory(prefix="dr-runbook-") as folder:
        state = Path(folder) / "state"
        argv = [SHELL, "-c", _WRAP + command]
        try:
            done = subprocess.run(
                argv, env={**environment, STATE: str(state)}, stdout=output, stderr=output, check=False
            )
        except OSError as error:
            raise DrError(CONFIGURATION, f"cannot run {SHELL}: {error.strerror}") from None
        left = state.read_bytes() if state.exists() else b""
    return done.returncode, _read_environment(left) or dict(environment)


def _read_environment(content: bytes) -> dict[str, str]:
    pairs = (entry.split(b"=", 1) for entry in content.split(b"\0") if b"=" in entry)
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in pairs}
    return {name: value for name, value in found.items() if name not in (STATE, "_", "SHLVL")}


@dataclass(slots=True)
class Stepper:
    """One walk through a page. `kept(run)` is told after every step, so that a walk that dies has left its record."""

    page: Page
    run: RunbookRun
    environment: Mapping[str, str]
    ask: Ask
    now: Callable[[], datetime]
    kept: Callable[[RunbookRun], None] = lambda run: None
    shell: Shell = field(default=bash)

    def walk(self, first: int = 1) -> RunbookRun:
        """To the end, to a block that ends otherwise than expected, or until a person stops."""
        for index, block in enumerate(self.page.blocks, 1):
            if index < first:
                continue
            answer = self.ask(index, block)
            if answer.word == "stop":
                break
            step = self._step(index, block, answer)
            self.run = replace(self.run, ended=step.ended, steps=(*self.run.steps, step))
            self.kept(self.run)
            if not step.as_expected:
                break
        return self.run

    def _step(self, index: int, block: Block, answer: Answer) -> RunbookStep:
        started, code = self.now(), None
        doing = Doing.SKIPPED if answer.word == "skip" else Doing.MANUAL if block.manual else Doing.RUN
        if doing is Doing.RUN:
            code, self.environment = self.shell(block.command, self.environment)
        return RunbookStep(
            index, block.title, doing, block.command, block.expected, code, answer.asked, started, self.now()
        )


def unset(page: Page, environment: Mapping[str, str]) -> tuple[str, ...]:
    """Variables of the page that nobody has given."""
    return tuple(name for name in page.variables if not environment.get(name))
