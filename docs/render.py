"""`make docs`: writes what is generated into the README."""

from __future__ import annotations

import re
from pathlib import Path

from dr.report.readme_table import readme_table
from dr.strategy import load_strategy

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(r"(<!-- strategy-table:[^>]*-->\n).*?(<!-- /strategy-table -->)", re.S)


def rendered(text: str) -> str:
    """The README's text with its strategy table as the shipped strategy has it."""
    table = readme_table(load_strategy(None))
    return BLOCK.sub(lambda match: f"{match[1]}{table}{match[2]}", text)


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
