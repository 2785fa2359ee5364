"""`dr --help` against a bare click program with as many commands. Goal: <= 1.3x."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import paired, report, run_once, spread
from dr.cli.main import COMMANDS

RUNS = 15
BARE = """
import click

@click.group()
def cli():
    "Bare."

for name in {names!r}:
    cli.command(name)(lambda: None)

cli()
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE.format(names=list(COMMANDS)))
        ours, theirs = [sys.executable, "-m", "dr", "--help"], [sys.executable, str(bare), "--help"]
        for argv in (ours, theirs):
            run_once(argv)
        pairs = [(run_once(ours), run_once(theirs)) for _ in range(RUNS)]
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    report(
        "startup", {"goal_ratio": 1.3, "ratio": paired(first, second), "dr_s": spread(first), "click_s": spread(second)}
    )


if __name__ == "__main__":
    main()
