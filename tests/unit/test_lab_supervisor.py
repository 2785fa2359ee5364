"""The supervisor's order, its sentences, and what it leaves behind; with parts that are a few lines of shell."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from lab import lifecycle
from lab.children import kill_all, tail
from lab.crew import Crew
from lab.kube import wait_for
from lab.parts import FULL, Command, Node, Part, Site, Task, without
from lab.state import MARKER, Lab, LabError, alive, processes
from lab.supervisor import Supervisor, lock

HOLD = "echo READY; exec sleep 60"


def shell(name: str, script: str, after: tuple[str, ...] = (), scope: str = "data") -> Part:
    return Part(name, lambda _site: Command(("sh", "-c", script)), after, scope=scope, deadline_s=10)


def catalogue(*given: Node) -> Callable[[str, Sequence[str]], dict[str, Node]]:
    def wanted(scope: str, skip: Sequence[str]) -> dict[str, Node]:
        return {node.name: node for node in given if scope in (node.scope, FULL) and node.name not in skip}

    return wanted


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "logs").mkdir()
    return Site(tmp_path, secrets.token_hex(8), tmp_path / "cache")


def run(site: Site, given: tuple[Node, ...], body: Callable[[Crew], Awaitable[None]]) -> None:
    async def whole() -> None:
        crew = Crew(site, (), catalogue(*given))
        try:
            await body(crew)
        finally:
            await crew.shut_down(())

    asyncio.run(whole())
    assert processes(site.id) == ()


def test_a_part_starts_only_when_what_it_comes_after_is_ready(site: Site) -> None:
    seen: list[str] = []
    given = (
        Task("third", lambda _: seen.append("third"), after=("second",)),
        shell("second", f"test -e {site.directory}/first && {HOLD}", after=("first",)),
        Task("first", lambda _: (site.directory / "first").touch()),
    )

    async def body(crew: Crew) -> None:
        await crew.bring_up("data")
        assert seen == ["third"]
        assert [event["part"] for event in crew.events if event["state"] == "ready"] == [
            "first",
            "second",
            "third",
        ]

    run(site, given, body)


def test_who_comes_after_a_skipped_part_comes_after_what_that_one_comes_after() -> None:
    chain = (Task("a", print), Task("b", print, after=("a",)), Task("c", print, after=("b", "a")))
    left = without({node.name: node for node in chain}, ("b",))
    assert {name: node.after for name, node in left.items()} == {"a": (), "c": ("a",)}


def test_a_part_that_dies_at_start_is_named_with_its_last_words_and_takes_the_rest_with_it(site: Site) -> None:
    given = (shell("good", HOLD), shell("bad", "echo cannot open the door; exit 3"))

    async def body(crew: Crew) -> None:
        with pytest.raises(LabError, match=r"bad ended with 3 before it was ready:\ncannot open the door"):
            await crew.bring_up("data")
        assert crew.running == {}
        assert processes(site.id) == ()

    run(site, given, body)


def test_a_part_that_dies_after_it_was_ready_fails_those_that_wait_for_its_work(site: Site) -> None:
    given = (
        shell("brief", "echo READY; sleep 0.2; echo out of memory; exit 9"),
        Part("waiting", lambda _: Command(("sleep", "60")), after=("brief",), deadline_s=20, probe=lambda _: False),
    )

    async def body(crew: Crew) -> None:
        with pytest.raises(LabError, match=r"(?s)brief ended with 9 soon after it was ready:.*out of memory"):
            await crew.bring_up("data")

    run(site, given, body)


def test_an_unforeseen_error_in_a_step_is_one_sentence_with_its_name(site: Site) -> None:
    def broken(_site: Site) -> None:
        raise ZeroDivisionError("by zero")

    async def body(crew: Crew) -> None:
        assert not await Supervisor(crew).rise("data")
        assert crew.events[-1] == {"lab": "failed", "message": "step: ZeroDivisionError: by zero"}

    run(site, (Task("step", broken),), body)


def test_a_lab_grows_without_starting_anything_twice_and_survives_a_failed_growth(site: Site) -> None:
    given = (shell("base", HOLD), shell("more", "exit 1", scope=FULL))

    async def body(crew: Crew) -> None:
        await crew.bring_up("data")
        process = crew.running["base"].process
        assert process
        with pytest.raises(LabError, match="more ended with 1"):
            await crew.bring_up(FULL)
        assert crew.running["base"].process is process
        assert process.returncode is None

    run(site, given, body)


def test_kill_and_start_on_request_and_nothing_by_itself(site: Site) -> None:
    async def body(crew: Crew) -> None:
        await crew.bring_up("data")
        assert (await Supervisor(crew)._do({"op": "kill", "part": "part", "signal": "KILL"}))[
            "returncode"
        ] == -signal.SIGKILL
        parts = crew.status()["parts"]
        assert isinstance(parts, list)
        assert parts[0]["state"] == "exited -9"
        await Supervisor(crew)._do({"op": "start", "part": "part"})
        with pytest.raises(LabError, match="part runs already"):
            await Supervisor(crew)._do({"op": "start", "part": "part"})
        with pytest.raises(LabError, match="runs no part 'other'; there are part"):
            await Supervisor(crew)._do({"op": "kill", "part": "other"})

    run(site, (shell("part", HOLD),), body)


def test_a_killed_part_takes_its_own_children_with_it(site: Site) -> None:
    async def body(crew: Crew) -> None:
        await crew.bring_up("data")
        assert len(processes(site.id)) == 2
        await crew.kill("part", "KILL")
        wait_for("the child's end", lambda: not processes(site.id), 10)

    run(site, (shell("part", "sleep 60 & echo READY; wait"),), body)


def test_ports_are_kept_and_never_given_twice(site: Site) -> None:
    ports = [site.port(f"part{number}") for number in range(50)]
    assert len(set(ports)) == 50
    assert ports == [site.port(f"part{number}") for number in range(50)]
    assert not set(ports) & {Site(site.directory, "other", site.cache).port("part") for _ in range(50)}


def test_only_processes_with_the_labs_mark_are_killed(site: Site) -> None:
    """Grandchildren that left their session and lost their parent included: so Velero leaves its plug-in behind."""
    stranger = subprocess.Popen(["sleep", "60"], env={**os.environ, MARKER: "someone-else"})
    orphan = ["sh", "-c", "setsid sleep 60 >&- 2>&- & echo $!"]
    pid = int(subprocess.run(orphan, env={**os.environ, MARKER: site.id}, stdout=subprocess.PIPE, check=True).stdout)
    try:
        assert processes(site.id) == (pid,)
        assert kill_all(site.id) == ()
        assert not alive(pid, site.id)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


GUARDED = """
import os, signal, subprocess, sys
from pathlib import Path
from lab.children import start_guard
start_guard(Path(sys.argv[1]), os.environ["DR_LAB_ID"])
subprocess.Popen(["sleep", "60"])
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_guard_clears_up_after_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    directory, mark = tmp_path / "lab", secrets.token_hex(8)
    directory.mkdir()
    (directory / "file").touch()
    subprocess.run([sys.executable, "-c", GUARDED, str(directory)], env={**os.environ, MARKER: mark}, check=False)
    lifecycle._await_end(mark, 60)
    assert processes(mark) == ()
    assert list(tmp_path.iterdir()) == []


def test_a_second_supervisor_is_refused(tmp_path: Path) -> None:
    held = lock(tmp_path)
    with pytest.raises(LabError, match="another supervisor holds"):
        lock(tmp_path)
    os.close(held)


def test_down_removes_what_a_dead_lab_left_and_nothing_else(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / lifecycle.ID_FILE).write_text("0123456789abcdef")
    assert lifecycle.down(lab) == f"the lab in {lab} is gone"
    assert lifecycle.down(lab) == f"no lab in {lab}"
    (tmp_path / "precious").touch()
    assert lifecycle.down(tmp_path) == f"no lab in {tmp_path}"
    with pytest.raises(LabError, match="is not empty and not a lab's"):
        lifecycle.up(lifecycle.Wish(tmp_path, "data"))
    assert (tmp_path / "precious").exists()


def test_loading_says_what_to_do_when_there_is_no_lab_or_a_dead_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab runs in"):
        Lab.load(tmp_path)
    paths = dict.fromkeys(("directory", "ca", "keys", "settings", "cache"), tmp_path)
    words = {"id": "x", "scope": "data", "pid": 1, "project": "p", "region": "r", "database": "d"}
    Lab(**paths, **words, endpoints={}, kubeconfigs={}, topics={}).save()  # type: ignore[arg-type]
    with pytest.raises(LabError, match="is dead: clear it away with `python -m lab down"):
        Lab.load(tmp_path)


def test_tail_reads_the_last_lines_of_this_start_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("READY of an earlier start\n" + "one\ntwo\n")
    assert tail(log, len("READY of an earlier start\n"), lines=1) == "two"
    assert tail(tmp_path / "absent") == ""
