"""Fill a `file://` store until its disk refuses, then make room: `python -m tests.lab.full_disk DIR`; prints JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from dr.errors import DrError
from dr.stores.local import LocalStore

OBJECT = 100_000
TRIES = 100


def main(folder: str) -> None:
    print(json.dumps(filled(LocalStore(Path(folder)))))


def filled(store: LocalStore) -> dict[str, object]:
    written: list[str] = []
    try:
        for number in range(TRIES):
            written.append(store.put(f"data/{number:03d}", bytes([number]) * OBJECT).name)
    except DrError as error:
        refused = {"kind": error.kind.code, "message": error.message, "hint": error.hint, "temporary": error.temporary}
    root = Path(store.url.removeprefix("file://"))
    listed = [info.name for info in store.list()]
    left = [path.name for path in (root / ".dr-tmp").iterdir() if path.name != "exclusive"]
    whole = all(len(store.get(name)) == OBJECT for name in listed)
    first = store.stat(written[0])
    assert first is not None
    store.delete(first.name, generation=first.generation)
    store.put("data/again", b"x" * OBJECT)
    return {"written": written, "refused": refused, "listed": listed, "left": left, "whole": whole}


if __name__ == "__main__":
    main(*sys.argv[1:])
