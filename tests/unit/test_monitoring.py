"""What watches `dr` from outside: rules, dashboard and runbooks name only what `dr` really exports and what is written."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dr.ports import Notice
from dr.serve.metrics import Metrics, Watch
from tests.unit.watched_world import AUDIT, CONFIG, DATABASE, NOW, STRATEGY, overview

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "schedules/monitoring"
METRIC = re.compile(r"\b(?:dr|process)_[a-z_]+\b")
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"] for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())


def exported() -> dict[str, set[str]]:
    """Every series that a service can export, with its labels: after one of everything has happened."""
    metrics = Metrics(Watch(STRATEGY, lambda: NOW, overview(), {"control": 0.5}), "lab")
    metrics.know(STRATEGY.sources())
    metrics.know_channels(["webhook"])
    metrics.captured(DATABASE, "committed", 1.0)
    metrics.notice(Notice(AUDIT, "durable", 1, 0.1))
    metrics.notice(Notice(CONFIG, "relisted"))
    metrics.pings.labels("ok").inc()
    metrics.refreshes.labels("whole").inc()
    metrics.trouble.labels("unreachable").inc()
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions() -> list[tuple[str, str]]:
    """(where, PromQL) of every panel and annotation of the dashboard."""
    panels = [(p["title"], t["expr"]) for p in DASHBOARD["panels"] for t in p.get("targets", ())]
    return panels + [(a["name"], a["expr"]) for a in DASHBOARD["annotations"]["list"]]


EXPORTED = exported()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_uses_what_is_exported_and_has_a_runbook(rule: dict[str, Any]) -> None:
    assert set(METRIC.findall(rule["expr"])) <= set(EXPORTED)
    page, _, section = rule["annotations"]["runbook_url"].partition("#")
    headings = [line[3:].lower() for line in (ROOT / page).read_text().splitlines() if line.startswith("## ")]
    assert section in headings
    assert section == rule["alert"].lower()
    assert rule["labels"]["severity"] in ("critical", "warning")


def test_every_alert_is_tested_by_firing_and_by_not_firing() -> None:
    groups = yaml.safe_load((MONITORING / "rules.test.yaml").read_text())["tests"]
    tests = [test for group in groups for test in group["alert_rule_test"]]
    firing = {test["alertname"] for test in tests if test.get("exp_alerts")}
    quiet = {test["alertname"] for test in tests if not test.get("exp_alerts")}
    names = {rule["alert"] for rule in RULES}
    assert names - firing == set()
    assert names - quiet == {"DrTwoLeaders"}, "whose quiet is that one leads in the same series"


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_a_panel_shows_what_is_exported(where: str, expression: str) -> None:
    names = METRIC.findall(expression)
    assert names
    assert set(names) <= set(EXPORTED), where
    by = {label for group in re.findall(r"(?:by|on) \(([^)]*)\)", expression) for label in group.split(", ") if label}
    labels = set().union(*(EXPORTED[name] for name in names)) | {"instance", "job"}
    assert by <= labels, where


def test_the_operator_gets_the_same_rules() -> None:
    specification = importlib.util.spec_from_file_location("render", ROOT / "docs/render.py")
    assert specification is not None
    assert specification.loader is not None
    render = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(render)
    text = (MONITORING / "alerts.yaml").read_text()
    assert text == render.operator_rules((MONITORING / "rules.yaml").read_text()), "run: make docs"
    assert yaml.safe_load(text)["spec"]["groups"] == yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]


def test_what_is_exported_is_described() -> None:
    page = (ROOT / "docs/watching.md").read_text()
    bases = {re.sub(r"_(bucket|sum|count)$", "", name) for name in EXPORTED if name.startswith("dr_")}
    assert {name for name in bases if f"`{name}`" not in page} == set()


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
