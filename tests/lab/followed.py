"""Follow one continuous source until SIGTERM: `python -m tests.lab.followed SOURCE`. Prints each notice as a line of JSON.

Settings and strategy come from the environment, as for `dr` itself.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

from dr.app.core import open_app
from dr.model.ids import SourceId
from dr.ports import Notice


def main(source: str) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    app = open_app(None, None, "capture")
    spec = app.spec(SourceId.parse(source))
    follower = app.kits[spec.id.component].follower
    assert follower is not None
    app.prepare(spec.id.component)
    follower(spec).follow(app.vault(spec.id.component), stop.is_set, told)
    print(json.dumps({"kind": "ended"}), flush=True)


def told(notice: Notice) -> None:
    told = {"kind": notice.kind, "count": notice.count, "lag_s": notice.lag_s, "detail": notice.detail}
    print(json.dumps(told), flush=True)


main(*sys.argv[1:])
