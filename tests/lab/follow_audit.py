"""Follow the audit subscription as the leader of `dr run` does, until SIGTERM: `python -m tests.lab.follow_audit`.

Prints one JSON line for each notice. Settings and strategy come from the environment, as for `dr` itself.
"""

from __future__ import annotations

import json
import signal
import threading

from dr.app.core import open_app
from dr.ports import Notice

_GUARD = threading.Lock()


def tell(notice: Notice) -> None:
    with _GUARD:
        told = {"kind": notice.kind, "count": notice.count, "lag_s": notice.lag_s, "detail": notice.detail}
        print(json.dumps(told), flush=True)


def main() -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    app = open_app(None, None, "capture")
    app.prepare("audit")
    (spec,) = app.specs(["audit"])
    follower = app.kits["audit"].follower
    assert follower
    follower(spec).follow(app.vault("audit"), stop.is_set, tell)


main()
