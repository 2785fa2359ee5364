"""`dr completion`: what a shell needs to complete `dr` commands and options."""

from __future__ import annotations

import click

SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    bash: `eval "$(dr completion bash)"` in ~/.bashrc; zsh: the same in ~/.zshrc; fish:
    `dr completion fish > ~/.config/fish/completions/dr.fish`.
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "dr", "_DR_COMPLETE").source())
