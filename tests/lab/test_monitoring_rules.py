"""The alert rules and the dashboard under Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from lab import build
from tests.unit.test_monitoring import MONITORING, expressions

pytestmark = pytest.mark.lab


def promtool(*args: object) -> subprocess.CompletedProcess[str]:
    argv = [str(build.binary("promtool")), *map(str, args)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_the_rules_are_rules_and_fire_when_they_should() -> None:
    for done in (
        promtool("check", "rules", MONITORING / "rules.yaml"),
        promtool("test", "rules", MONITORING / "rules.test.yaml"),
    ):
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_tests_of_the_rules_can_fail(tmp_path: Path) -> None:
    text = (MONITORING / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(text.replace(">= 3", ">= 4"))
    shutil.copy(MONITORING / "rules.test.yaml", tmp_path)
    done = promtool("test", "rules", tmp_path / "rules.test.yaml")
    assert done.returncode != 0
    assert "DrCaptureFailing" in done.stdout + done.stderr


def test_every_panel_of_the_dashboard_is_promql(tmp_path: Path) -> None:
    """As recording rules, which promtool parses; Grafana's variables stand for what it puts in."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$component", ".*")}
        for number, (_, expression) in enumerate(expressions())
    ]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", tmp_path / "panels.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout
