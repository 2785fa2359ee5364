"""The `dr` command: a lazy group, and the one place where errors become sentences and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

import click

from dr import __version__

if TYPE_CHECKING:
    from dr.errors import DrError

# name -> (module, one line for --help): the help page must not import what it lists
COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("dr.cli.init", "Write a strategy and a settings file to start from."),
    "check": ("dr.cli.check", "Look at permissions, protection settings, stores and clock."),
    "plan": ("dr.cli.plan", "Show each row's cadence, worst-case RPO and what cannot be met."),
    "backup": ("dr.cli.backup", "Capture now, verify, commit a recovery point."),
    "run": ("dr.cli.run", "The service: capture every source on its derived cadence."),
    "status": ("dr.cli.status", "Each row and domain: newest point, next due, verdict."),
    "points": ("dr.cli.points", "List, show, verify, hold, release, prune and rebuild recovery points."),
    "freeze": ("dr.cli.freeze", "Stop pruning and new backups during an incident."),
    "restore": ("dr.cli.restore", "Plan, review and apply a restore to a point in time."),
    "bisect": ("dr.cli.bisect", "Search the last clean recovery point by a check of your own."),
    "config": ("dr.cli.config", "What the log of the configuration tells: history, a state, a difference."),
    "erasure": ("dr.cli.erasure", "The ledger of what was erased, replayed over every restored copy."),
    "drill": ("dr.cli.drill", "Run a restore drill and report what was measured."),
    "audit": ("dr.cli.audit", "Search and verify the audit log in the vault."),
    "runbook": ("dr.cli.runbook", "List, show and step through the runbooks."),
    "velero": ("dr.cli.velero", "Set Velero up in a cluster that has none."),
    "completion": ("dr.cli.completion", "Print the completion script of a shell."),
    "schedules": ("dr.cli.schedules", "Render what runs dr in a cluster: CronJobs, service, identities."),
}


class LazyGroup(click.Group):
    """Imports a command's module when it is called, not when it is listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(COMMANDS[cmd_name][0]).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="dr")
@click.option("--config", "config", metavar="FILE", help="Settings file (environment: DR_CONFIG; default dr.yaml).")
@click.option("--strategy", "strategy", metavar="FILE", help="Strategy table (environment: DR_STRATEGY).")
@click.pass_context
def cli(ctx: click.Context, config: str | None, strategy: str | None) -> None:
    """Back up, lose it, restore to a point in time, and say what was measured."""
    ctx.obj = {"config": config, "strategy": strategy}


def explain(error: DrError) -> None:
    """One sentence, what to do next, where to read on."""
    click.echo(f"dr: {error.message}", err=True)
    if error.hint:
        click.echo(f"    {error.hint}", err=True)
    click.echo(f"    error {error.kind.code}; what to do: dr runbook show {error.kind.page}", err=True)


def run(args: list[str] | None = None) -> None:
    """Entry point. Never lets a traceback reach the user; always ends the process with a catalogued exit code."""
    try:
        code = cli.main(args=args, prog_name="dr", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo(
            "dr: interrupted; nothing half-done is left unrecorded, run the same command again to go on", err=True
        )
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 - the last line of defence: everything becomes one sentence
        code = unexpected(error)
    sys.exit(code if isinstance(code, int) else 0)


def unexpected(error: Exception) -> int:
    """Exit code of an error that no command handled; a traceback goes to a file only, never to the screen."""
    from dr.errors import DrError

    if isinstance(error, DrError):
        explain(error)
        return int(error.kind.exit)
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="dr-crash-", suffix=".txt", delete=False) as report:
        traceback.print_exception(error, file=report)
    click.echo(f"dr: internal error: {type(error).__name__}: {error}".splitlines()[0], err=True)
    click.echo(f"    this is a bug in dr; the details are in {report.name}", err=True)
    return 1


if __name__ == "__main__":
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    run()
