"""`make docs`: writes what is generated: the README's table, `schedules/` for the table that ships with dr, and the alert rules
as the Prometheus operator takes them."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from dr.app.core import open_app
from dr.app.deploying import order_of
from dr.plan.permissions import GRANTS, IDENTITIES, SPARED
from dr.report.readme_table import readme_table
from dr.schedules.pods import Cluster
from dr.schedules.render import files
from dr.settings import settings_template
from dr.strategy import default_strategy_text, load_strategy

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SCHEDULES = ROOT / "schedules"
BLOCK = re.compile(r"(<!-- strategy-table:[^>]*-->\n).*?(<!-- /strategy-table -->)", re.S)
OPERATOR_HEAD = """# Rendered from rules.yaml by `make docs`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: dr
  namespace: dr-system
  labels: {app.kubernetes.io/name: dr}
spec:
"""


def rendered(text: str) -> str:
    """The README's text with its strategy table as the shipped strategy has it."""
    table = readme_table(load_strategy(None))
    return BLOCK.sub(lambda match: f"{match[1]}{table}{match[2]}", text)


def schedules() -> dict[str, str]:
    """The files of `schedules/` that are rendered, from what `dr init` writes."""
    with tempfile.TemporaryDirectory() as directory:
        for name, text in (("dr.yaml", settings_template()), ("strategy.yaml", default_strategy_text())):
            (Path(directory) / name).write_text(text, encoding="utf-8")
        app = open_app(f"{directory}/dr.yaml", None, "capture", environ={})
        return files(order_of(app, Cluster(), default_strategy_text(), measured=False))


def operator_rules(rules: str) -> str:
    """`monitoring/rules.yaml` inside a PrometheusRule, line by line, so that both read the same."""
    groups = rules[rules.index("groups:") :]
    spec = "".join(f"  {line}" if line.strip() else line for line in groups.splitlines(keepends=True))
    return OPERATOR_HEAD + spec


def permissions() -> str:
    """What `schedules/terraform` grants."""
    table = {
        one: {grant.where: list(grant.permissions) for grant in GRANTS if grant.identity == one} for one in IDENTITIES
    }
    return json.dumps({"identities": table, "spared": list(SPARED)}, indent=2) + "\n"


if __name__ == "__main__":
    (SCHEDULES / "terraform" / "permissions.json").write_text(permissions(), encoding="utf-8")
    rules = (SCHEDULES / "monitoring/rules.yaml").read_text(encoding="utf-8")
    (SCHEDULES / "monitoring/alerts.yaml").write_text(operator_rules(rules), encoding="utf-8")
    for name, text in schedules().items():
        (SCHEDULES / name).parent.mkdir(parents=True, exist_ok=True)
        (SCHEDULES / name).write_text(text, encoding="utf-8")
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
