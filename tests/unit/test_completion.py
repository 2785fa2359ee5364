"""Shell completion: the scripts are what each shell takes, and they complete commands, options and choices."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

SHELLS = ("bash", "zsh", "fish")
PYTHON_DR = [sys.executable, "-c", "from dr.cli.main import run; run()"]


def dr(*args: str, **more: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("_DR")}
    return subprocess.run(
        [*PYTHON_DR, *args], env={**environ, **more}, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_takes_its_script(shell: str) -> None:
    script = dr("completion", shell)
    assert script.returncode == 0, script.stderr
    assert "_DR_COMPLETE" in script.stdout
    if shutil.which(shell):
        read = subprocess.run([shell, "-n"], input=script.stdout, capture_output=True, text=True, check=False)
        assert read.returncode == 0, read.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("dr re", "restore"),
        ("dr points ve", "verify"),
        ("dr restore plan --dom", "--domain"),
        ("dr restore plan --domain cl", "cluster"),
        ("dr completion f", "fish"),
    ],
)
def test_commands_options_and_choices_are_completed(typed: str, offered: str) -> None:
    words = typed.split()
    asked = dr(_DR_COMPLETE="bash_complete", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert f"plain,{offered}" in asked.stdout.splitlines(), asked.stdout + asked.stderr


def test_an_unknown_shell_is_refused() -> None:
    refused = dr("completion", "tcsh")
    assert refused.returncode == 2
    assert "'bash', 'zsh', 'fish'" in refused.stderr
