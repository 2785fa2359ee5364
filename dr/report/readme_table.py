"""The strategy table as Markdown, for the README."""

from __future__ import annotations

from dr.model.strategy import Strategy
from dr.report.sheet import markdown
from dr.report.tables import strategy_sheet


def readme_table(strategy: Strategy) -> str:
    """Component, frequency, retention, RTO, RPO; ends with a newline."""
    return markdown(strategy_sheet(strategy))
