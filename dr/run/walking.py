"""Runs the steps of a plan's graph, each as soon as all that it needs is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from dr.errors import FENCED, LOCKED, REJECTED, RESTORE_FAILED, DrError
from dr.plan.graph import Chain, Circle, Graph, Node, graph_of
from dr.ports import Step
from dr.record.hold import Hold
from dr.run.engine import SLICE_S, Engine, Parked, never

SIDE_BY_SIDE = 16
"""Steps at a time; they wait for others far more than they compute."""


def recipe_graph(chains: Sequence[Chain[Step]]) -> Graph[Step]:
    """Raises DrError REJECTED when components wait for each other (also through others)."""
    try:
        return graph_of(chains)
    except Circle as circle:
        components = {chain.key: chain.component for chain in chains}
        left = sorted({components[key] for key in circle.left})
        raise DrError(REJECTED, f"the restores of {' and '.join(left)} wait for each other") from circle


@dataclass(frozen=True, slots=True)
class Ending:
    """How one item ended. `parked`: asked to stop; else `error` None: every step is done."""

    error: DrError | None = None
    parked: bool = False


@dataclass
class Walk:
    """One run over a graph. A failure stops what needs the failed step, and nothing else."""

    engine: Engine
    hold: Hold
    graph: Graph[Step]
    stop: Callable[[], bool] = never
    _ended: dict[str, Ending] = field(default_factory=dict)
    """By item, of those that will not come to their end."""
    _done: set[str] = field(default_factory=set)
    _begun: set[str] = field(default_factory=set)

    def run(self) -> Mapping[str, Ending]:
        """By item. Raises DrError FENCED, LOCKED when the unit was lost, and what a bug raised; the other steps park then."""
        self._done = {node.key for node in self.graph.nodes if node.key in self.hold.outcomes}
        with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="restore") as pool:
            try:
                self._walk(pool)
            except BaseException:
                # Ctrl-C reaches only this thread: the steps must park too, or leaving the pool would wait for all of them
                self.hold.interrupted = True
                raise
        return {node.item: self._ending(node.item) for node in self.graph.nodes}

    def _walk(self, pool: ThreadPoolExecutor) -> None:
        running: dict[Future[None], Node[Step]] = {}
        while True:
            for node in self._ready():
                self._begun.add(node.key)
                running[pool.submit(self._one, node)] = node
            if not running:
                return
            # in slices: a signal that another thread took would else be heard only when the next step ends
            for future in wait(running, timeout=SLICE_S, return_when=FIRST_COMPLETED).done:
                self._note(running.pop(future), future)

    def _ready(self) -> list[Node[Step]]:
        """What needs a step that failed or parked never is."""
        return [
            node
            for node in self.graph.nodes
            if node.key not in self._done
            and node.key not in self._begun
            and all(need in self._done for need in node.needs)
        ]

    def _one(self, node: Node[Step]) -> None:
        self.engine.one(self.hold, node.step, node.index, prefix=f"{node.item}.", stop=self.stop)

    def _note(self, node: Node[Step], future: Future[None]) -> None:
        try:
            future.result()
            self._done.add(node.key)
        except Parked:
            self._ended.setdefault(node.item, Ending(parked=True))
        except DrError as error:
            if error.kind in (FENCED, LOCKED):
                raise
            # what failed counts more than that a step beside it was parked
            if node.item not in self._ended or self._ended[node.item].parked:
                self._ended[node.item] = Ending(error)

    def _ending(self, item: str) -> Ending:
        if item in self._ended:
            return self._ended[item]
        left = [node for node in self.graph.nodes if node.item == item and node.key not in self._done]
        return self._kept_from(left[0]) if left else Ending()

    def _kept_from(self, node: Node[Step]) -> Ending:
        """The first step that was not begun: what it needs was not done, by another item."""
        items = {one.key: one.item for one in self.graph.nodes}
        blocking = next(items[need] for need in node.needs if need not in self._done)
        if self._ending(blocking).parked:
            return Ending(parked=True)
        component = blocking.partition(".")[0]
        return Ending(DrError(RESTORE_FAILED, f"{node.step.name} needs {component}, which was not restored"))
