"""A strategy whose row `config` has a source."""

from __future__ import annotations

import yaml

from lab.stage import lab_strategy

OPTIONS = {"namespaces": ["energent-ai"], "namespaceSelector": {"energent.io/tenant": "true"}, "heartbeat": "2s"}


def config_strategy(**options: object) -> str:
    """The lab's table with the cluster's configuration captured by watch; `options` replace or add to the source's."""
    table = yaml.safe_load(lab_strategy(1.0))
    source = {"kind": "kubernetes", "name": "energent-production", "options": {**OPTIONS, **options}}
    row = next(row for row in table["objectives"] if row["component"] == "config")
    row["sources"] = [source]
    return yaml.safe_dump(table, sort_keys=False)
