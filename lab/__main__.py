"""`python -m lab`: a cloud in a box, on 127.0.0.1, made of real parts."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

import click

from lab import lifecycle
from lab.state import Lab, LabError

LATER = {
    "deploy": "lab.deploy",
    "disaster": "lab.strikes",
    "demo": "lab.demo",
    "soak": "lab.soak",
    "mutation": "lab.mutation",
    "campaigns": "lab.campaigns",
}
"""Commands loaded only when called: their imports are slow."""


class Commands(click.Group):
    """`up`, `down`, `status`, and what lives in modules of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *LATER])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in LATER:
            return super().get_command(ctx, name)
        command = getattr(importlib.import_module(LATER[name]), name)
        assert isinstance(command, click.Command)
        return command


directory_option = click.option(
    "--dir", "directory", type=click.Path(path_type=Path, file_okay=False), default=Path(".lab"), show_default=True
)
output_option = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group(cls=Commands, help=__doc__)
def lab() -> None:
    """See the module."""


@lab.command()
@directory_option
@click.option("--only", type=click.Choice(["data", "cluster"]), help="data: no Kubernetes; cluster: an empty one.")
@click.option(
    "--beside", type=click.Path(path_type=Path, exists=True), help="With --only cluster: the lab whose cloud it is in."
)
@click.option("--skip", default="", help="Parts to leave out, separated by commas.")
@click.option("--pitr-window", type=float, default=240, show_default=True, help="Firestore's history, in seconds.")
@click.option("--snapshot-granularity", type=float, default=60, show_default=True, help="Its whole minute, in seconds.")
def up(
    directory: Path, only: str | None, beside: Path | None, skip: str, pitr_window: float, snapshot_granularity: float
) -> None:
    """Start a lab, or add to a data-only one what it lacks."""
    options = {"pitr-window": f"{pitr_window:g}", "snapshot-granularity": f"{snapshot_granularity:g}"}
    options |= {"beside": str(beside.absolute())} if beside else {}
    wish = lifecycle.Wish(directory.absolute(), only or "full", tuple(filter(None, skip.split(","))), options)
    began = time.monotonic()
    started = lifecycle.up(wish, Awaited())
    click.echo(f"lab {started.scope} is up in {started.directory} after {time.monotonic() - began:.1f} s")


class Awaited:
    """Shows which parts are awaited: rewritten in place on a terminal, one line for each part in a log."""

    def __init__(self) -> None:
        self.waiting: list[str] = []
        self.terminal = sys.stderr.isatty()

    def __call__(self, event: lifecycle.Event) -> None:
        name, state = str(event.get("part", "")), event.get("state")
        if state == "starting":
            self.waiting.append(name)
        elif name in self.waiting:
            self.waiting.remove(name)
        if self.terminal:
            line = f"waiting for {', '.join(self.waiting)}" if self.waiting else ""
            click.echo(f"\r\033[K{line[:100]}", nl=False, err=True)
        elif state == "ready":
            click.echo(f"{name} ready after {event['elapsed_s']} s", err=True)


@lab.command()
@directory_option
def down(directory: Path) -> None:
    """Stop a lab and remove its directory; nothing of it is left, and twice is fine."""
    click.echo(lifecycle.down(directory.absolute()))


@lab.command()
@directory_option
@output_option
def status(directory: Path, output: str) -> None:
    """The parts of a running lab."""
    answer = Lab.load(directory).ask({"op": "status"})
    if output == "json":
        click.echo(json.dumps(answer, indent=2))
        return
    parts = answer["parts"]
    assert isinstance(parts, list)
    for part in parts:
        pid = part["pid"] or "-"
        click.echo(f"{part['part']:<20} {part['state']:<12} {pid:>8} {part['memory_mib']:>8.1f} MiB")


def main() -> None:
    """Errors are one sentence and exit code 1."""
    try:
        lab.main(prog_name="python -m lab", standalone_mode=True)
    except LabError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
