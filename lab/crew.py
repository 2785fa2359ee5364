"""The processes and set-up steps of one lab: started in dependency order, watched, killed and started on request.

It restarts nothing by itself: a part that a disaster killed stays dead until someone says `start`.
Everything but the set-up steps runs in one thread, because children are tied to the thread that forked them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from lab.children import die_with_parent, kill_all, tail
from lab.parts import FULL, Node, Part, Site, Task, describe, nodes
from lab.state import LabError

POLL_S = 0.03
GRACE_S = 1.5
Event = Mapping[str, object]
Catalogue = Callable[[str, Sequence[str]], dict[str, Node]]
"""(scope, names to leave out) -> the nodes wanted."""
T = TypeVar("T")


@dataclass(slots=True)
class Running:
    """A started node: its process (None for a set-up step), its state and when that began (monotonic seconds)."""

    node: Node
    state: str = "waiting"
    since: float = field(default_factory=time.monotonic)
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def exited(self) -> int | None:
        return self.process.returncode if self.process else None


class Crew:
    """All that one lab runs, from `bring_up` to `shut_down`, and the story of how it came up (`events`)."""

    def __init__(self, site: Site, skip: Sequence[str] = (), catalogue: Catalogue = nodes) -> None:
        self.site, self.skip, self.catalogue = site, skip, catalogue
        self.running: dict[str, Running] = {}
        self.scope = ""
        self.events: list[Event] = []
        self.news = asyncio.Condition()
        self.rising = asyncio.Lock()

    async def bring_up(self, scope: str) -> None:
        """Start what `scope` has and does not run yet. LabError names the part that failed; the others are cancelled."""
        async with self.rising:
            wanted = {name: node for name, node in self.catalogue(scope, self.skip).items() if name not in self.running}
            self.running |= {name: Running(node) for name, node in wanted.items()}
            try:
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(self._watch_over(tuple(wanted)))
                    starts = [group.create_task(self._start(self.running[name])) for name in wanted]
                    await asyncio.gather(*starts)
                    watch.cancel()
            except* LabError as errors:
                await self._forget(tuple(wanted))
                raise LabError(str(errors.exceptions[0])) from errors
            self.scope = FULL if FULL in (scope, self.scope) else scope
            describe(self.site, self.scope).save()

    async def _watch_over(self, names: tuple[str, ...]) -> None:
        """A part that dies after it was ready, while others still wait for what it should do, is what went wrong."""
        while True:
            await asyncio.sleep(0.1)
            for running in (self.running[name] for name in names):
                if running.ready.is_set() and running.exited is not None:
                    log = tail(self.site.log(running.node.name))
                    raise LabError(f"{running.node.name} ended with {running.exited} soon after it was ready:\n{log}")

    async def _start(self, running: Running) -> None:
        for name in running.node.after:
            if name in self.running:
                await self.running[name].ready.wait()
        await self._tell(running, "starting")
        try:
            await self._bring(running.node, running)
        except LabError as error:
            await self._tell(running, "failed", str(error))
            raise
        running.ready.set()
        await self._tell(running, "ready")

    async def _bring(self, node: Node, running: Running) -> None:
        if isinstance(node, Task):
            await asyncio.to_thread(_in_words, node.name, lambda: node.run(self.site))
        else:
            await self._launch(node, running)

    async def _launch(self, part: Part, running: Running) -> None:
        command = _in_words(part.name, lambda: part.command(self.site))
        log = self.site.log(part.name)
        with log.open("ab") as output:
            start = output.tell()
            running.process = await asyncio.create_subprocess_exec(
                *command.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                env=self.site.environment(command.env),
                cwd=command.cwd,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        await self._await_ready(part, running.process, start)

    async def _await_ready(self, part: Part, process: asyncio.subprocess.Process, start: int) -> None:
        deadline = time.monotonic() + part.deadline_s
        while not await self._is_ready(part, start):
            if process.returncode is not None:
                raise LabError(
                    f"{part.name} ended with {process.returncode} before it was ready:\n{self._tail(part, start)}"
                )
            if time.monotonic() > deadline:
                raise LabError(f"{part.name} was not ready after {part.deadline_s:g} s:\n{self._tail(part, start)}")
            await asyncio.sleep(POLL_S)

    async def _is_ready(self, part: Part, start: int) -> bool:
        if part.probe is not None:
            return await asyncio.to_thread(part.probe, self.site)
        return any(line.startswith("READY") for line in tail(self.site.log(part.name), start, 1000).splitlines())

    def _tail(self, part: Part, start: int) -> str:
        return tail(self.site.log(part.name), start) or "(its log is empty)"

    async def _forget(self, names: tuple[str, ...]) -> None:
        """After a failed start: what belongs to it goes, what ran before stays."""
        for name in names:
            running = self.running.pop(name)
            if running.process and running.exited is None:
                running.process.kill()
                await running.process.wait()

    async def _tell(self, running: Running, state: str, message: str = "") -> None:
        elapsed = round(time.monotonic() - running.since, 2) if state != "starting" else 0
        running.state, running.since = state, time.monotonic() if state == "starting" else running.since
        await self.announce({"part": running.node.name, "state": state, "elapsed_s": elapsed, "message": message})

    async def announce(self, event: Event) -> None:
        async with self.news:
            self.events.append(event)
            self.news.notify_all()

    async def kill(self, name: str, signal_name: str) -> Event:
        """For KILL and TERM the answer comes when the process is gone. KILL takes its process group, as the end of a
        container would: Velero's plug-in must not live on."""
        running = self._part(name)
        number = getattr(signal, f"SIG{signal_name.upper().removeprefix('SIG')}", None)
        if number is None:
            raise LabError(f"unknown signal {signal_name!r}")
        assert running.process is not None
        if running.exited is None:
            send = os.killpg if number == signal.SIGKILL else os.kill
            send(running.process.pid, number)
            if number in (signal.SIGKILL, signal.SIGTERM):
                await running.process.wait()
        return {"part": name, "pid": running.process.pid, "returncode": running.exited}

    async def start_again(self, name: str) -> Event:
        running = self._part(name)
        if running.exited is None:
            raise LabError(f"{name} runs already")
        assert isinstance(running.node, Part)
        began = time.monotonic()
        await self._launch(running.node, running)
        assert running.process is not None
        return {"part": name, "pid": running.process.pid, "elapsed_s": round(time.monotonic() - began, 2)}

    def _part(self, name: str) -> Running:
        running = self.running.get(name)
        if running is None or running.process is None:
            parts = ", ".join(sorted(name for name, other in self.running.items() if other.process))
            raise LabError(f"the lab runs no part {name!r}; there are {parts}")
        return running

    def status(self) -> Event:
        """Every node with its state; `memory_mib` is what the process itself holds."""
        return {
            "scope": self.scope,
            "pid": os.getpid(),
            "parts": [self._describe(name, running) for name, running in self.running.items()],
        }

    def _describe(self, name: str, running: Running) -> Event:
        process = running.process
        state = running.state if running.exited is None else f"exited {running.exited}"
        pid = process.pid if process else None
        memory = _memory_mib(pid) if pid and running.exited is None else 0.0
        return {"part": name, "state": state, "pid": pid, "memory_mib": memory, "log": str(self.site.log(name))}

    async def shut_down(self, spare: tuple[int, ...]) -> None:
        """TERM for the node agent, which has pods to end; nothing else holds anything that outlives the directory."""
        node = self.running.get("node")
        if node and node.process and node.exited is None:
            node.process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(node.process.wait(), GRACE_S)
        kill_all(self.site.id, spare)


def _in_words(name: str, action: Callable[[], T]) -> T:
    """A set-up step that breaks in a way nobody foresaw must still end as one sentence that names it."""
    try:
        return action()
    except LabError as error:
        raise LabError(f"{name}: {error}") from error
    except Exception as error:
        traceback.print_exc()
        raise LabError(f"{name}: {type(error).__name__}: {error}") from error


def _memory_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
