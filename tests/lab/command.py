"""`dr` as a user calls it, in a lab; and what a test wants to know of the answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.stage import lab_strategy

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Answer:
    """Exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def items(self) -> list[dict[str, Any]]:
        found = json.loads(self.out)["items"]
        assert isinstance(found, list)
        return found

    def refused(self, code: int, *words: str) -> None:
        """One clear sentence, the right exit code, no traceback."""
        assert self.code == code, (self.code, self.out[-1000:], self.err[-1000:])
        assert "Traceback" not in self.out + self.err
        assert "internal error" not in self.err
        said = (self.err or self.out).replace("\n", " ")
        for word in words:
            assert word in said, said


@dataclass(frozen=True, slots=True)
class Dr:
    """The command line with a lab's settings."""

    lab: Path
    work: Path
    more: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        strategy = self.work / "strategy.yaml"
        if not strategy.exists():
            strategy.write_text(lab_strategy(1.0))

    @property
    def environment(self) -> dict[str, str]:
        mine = {"DR_CONFIG": str(self.lab / "dr.yaml"), "DR_STRATEGY": str(self.work / "strategy.yaml")}
        return {**os.environ, **mine, "DR_CACHE_DIR": str(self.work / "cache"), **self.more}

    def __call__(self, *args: str, stdin: str = "") -> Answer:
        return self.module("dr", *args, stdin=stdin)

    def module(self, *args: str, stdin: str = "") -> Answer:
        """`python -m ...`."""
        argv = [sys.executable, "-m", *args]
        done = subprocess.run(
            argv, cwd=ROOT, env=self.environment, input=stdin, capture_output=True, text=True, timeout=280, check=False
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def fine(self, *args: str, stdin: str = "") -> Answer:
        """Must end with exit code 0."""
        answer = self(*args, stdin=stdin)
        assert answer.code == 0, (args, answer.code, answer.err[-1500:], answer.out[-500:])
        return answer

    @contextmanager
    def waiting(self, *args: str) -> Iterator[Callable[[], str]]:
        """`python -m ...` of a script that waits in the middle; calling lets it go on, and gives its last line."""
        argv, pipe = [sys.executable, "-m", *args], subprocess.PIPE
        process = subprocess.Popen(argv, cwd=ROOT, env=self.environment, stdin=pipe, stdout=pipe, text=True)
        assert process.stdout
        try:
            assert process.stdout.readline() == "WAITING\n"
            yield lambda: process.communicate("\n", timeout=120)[0].splitlines()[-1]
        finally:
            process.kill()
            process.communicate()

    def with_(self, **more: str) -> Dr:
        return Dr(self.lab, self.work, {**self.more, **more})
