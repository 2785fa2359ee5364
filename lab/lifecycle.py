"""Starting and ending labs from the outside: `up` and `down` as functions, for the command line and for tests."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab import build
from lab.children import kill_all, remove_directory, tail
from lab.node.confine import tidy
from lab.parts import DATA, FULL, ROOT
from lab.state import MARKER, Lab, LabError, ask, connect, processes

ID_FILE = "lab.id"
EVENT_DEADLINE_S = 120
"""Without any news for so long the supervisor is stuck: each part and step has a shorter deadline of its own."""
Event = Mapping[str, object]
Listener = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Wish:
    """What lab is wanted: where (absolute), how much (`data`, `full`, `cluster`), without which parts, with which options."""

    directory: Path
    scope: str = FULL
    skip: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


def silent(_event: Event) -> None:
    """A listener that shows nothing."""


def up(wish: Wish, listener: Listener = silent) -> Lab:
    """A lab that runs and has at least `wish.scope`. LabError in one sentence when it can't be had."""
    if wish.scope != DATA:
        _require_binaries(wish.skip)
    extend = {"op": "extend", "scope": wish.scope, "skip": ",".join(wish.skip)}
    request = extend if _supervised(wish.directory) else _begin(wish)
    _follow(wish.directory, request, listener)
    return Lab.load(wish.directory)


def _require_binaries(skip: tuple[str, ...]) -> None:
    users = {
        "kube-apiserver": "apiserver",
        "kube-controller-manager": "controller-manager",
        "kube-scheduler": "scheduler",
    }
    users |= {"velero-plugin-for-gcp": "velero"}
    for module in build.MODULES:
        for name in module.missing():
            if users.get(name, name) not in skip and name not in build.FOR_TESTS:
                build.binary(name)


def lab_id(directory: Path) -> str:
    """The id of the lab whose directory this is; "" when it is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (directory / ID_FILE).read_text().strip()
    return ""


def _supervised(directory: Path) -> bool:
    """Whether a supervisor answers there."""
    if not lab_id(directory):
        return False
    with suppress(LabError):
        ask(directory, {"op": "status"}, timeout_s=5)
        return True
    return False


def _begin(wish: Wish) -> Event:
    """Clear what a dead lab left, start a detached supervisor, and wait until it listens."""
    directory = wish.directory
    if directory.exists() and any(directory.iterdir()):
        if not lab_id(directory):
            raise LabError(f"{directory} is not empty and not a lab's: choose another --dir")
        down(directory)
    (directory / "logs").mkdir(parents=True, exist_ok=True)
    identity = secrets.token_hex(8)
    (directory / ID_FILE).write_text(identity)
    supervisor = _spawn(wish, identity)
    while not _listens(directory):
        if supervisor.poll() is not None:
            raise LabError(f"the supervisor ended at once: {tail(directory / 'logs' / 'supervisor.log', lines=3)}")
        time.sleep(0.01)
    return {"op": "watch"}


def _listens(directory: Path) -> bool:
    """The socket is there a moment before someone listens on it."""
    with suppress(OSError), connect(directory, timeout_s=5):
        return True
    return False


def _spawn(wish: Wish, identity: str) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    options = [f"--option={name}={value}" for name, value in wish.options.items()]
    where = ["--dir", str(wish.directory), "--cache", str(build.cache())]
    what = ["--scope", wish.scope, f"--skip={','.join(wish.skip)}"]
    with (wish.directory / "logs" / "supervisor.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lab.supervisor", *where, *what, *options],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, MARKER: identity, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"},
        )


def _follow(directory: Path, request: Event, listener: Listener) -> None:
    end = ""
    for event in _events(directory, request):
        listener(event)
        end = str(event.get("lab", end))
        if end == "failed":
            raise LabError(f"{event['message']}\nlogs: {directory / 'logs'}")
    if end != "ready":
        raise LabError(f"the supervisor ended before the lab was up; logs: {directory / 'logs'}")


def _events(directory: Path, request: Event) -> Iterator[Event]:
    try:
        with connect(directory, timeout_s=EVENT_DEADLINE_S) as connection, connection.makefile("rw") as stream:
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            for line in stream:
                yield json.loads(line)
    except OSError as error:
        raise LabError(f"the supervisor of {directory} fell silent ({error}); logs: {directory / 'logs'}") from error


def down(directory: Path, deadline_s: float = 20) -> str:
    """End the lab and remove its directory; says what it found. Only processes that carry the lab's id are touched."""
    identity = lab_id(directory)
    if not identity:
        return f"no lab in {directory}"
    with suppress(LabError):
        ask(directory, {"op": "stop"}, timeout_s=5)
        _await_end(identity, deadline_s)
    left = kill_all(identity)
    if left:
        raise LabError(f"these processes of the lab in {directory} refuse to die: {left}")
    if lab_id(directory) == identity:
        remove_directory(directory)
    tidy()
    return f"the lab in {directory} is gone"


def _await_end(identity: str, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while processes(identity) and time.monotonic() < deadline:
        time.sleep(0.02)
