"""A check for `dr bisect`: `python -m tests.lab.look_encrypted LAB` exits 1 when texts of the restored copy (DR_DATABASE) are hashes."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from lab.energent.store import Store, Target
from lab.state import Lab

HASH = re.compile(r"[0-9a-f]{64}")


def encrypted(directory: str, database: str) -> int:
    lab = Lab.load(Path(directory))
    store = Store(Target(lab.endpoints["firestore"], lab.project, database, lab.key("operator"), lab.ca))
    jobs = [fields for path, fields in store.walk() if "/jobs/" in path]
    assert jobs, "an empty copy tells nothing"
    return sum(any(HASH.fullmatch(str(value.get("stringValue", ""))) for value in fields.values()) for fields in jobs)


def main() -> int:
    try:
        found = encrypted(sys.argv[1], os.environ["DR_DATABASE"])
    except Exception as error:  # noqa: BLE001 - what cannot be looked at is not bad
        print(f"cannot look: {error!r}")
        return 125
    print(f"{found} encrypted jobs in {os.environ['DR_DATABASE']}")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
