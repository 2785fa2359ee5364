"""A restore plan as a graph: what comes after what, how long the whole takes, and which change would buy the most. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Linked(Protocol):
    """A step, planned or to be run."""

    @property
    def name(self) -> str: ...

    @property
    def beside(self) -> bool: ...

    @property
    def after(self) -> tuple[str, ...]: ...


S = TypeVar("S", bound=Linked)


@dataclass(frozen=True, slots=True)
class Chain(Generic[S]):
    """The recipe of one item. `key`: the item's name; `component`: what others wait for."""

    key: str
    component: str
    steps: Sequence[S]


@dataclass(frozen=True, slots=True)
class Node(Generic[S]):
    """One step of one item; `needs`: keys of the steps that must be done first."""

    key: str
    item: str
    index: int
    """In its recipe, from 1."""
    step: S
    needs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph(Generic[S]):
    """Every step comes after those that it needs."""

    nodes: tuple[Node[S], ...]

    def needed_by(self) -> Mapping[str, tuple[str, ...]]:
        """Turned round: which steps wait for each."""
        found: dict[str, list[str]] = {node.key: [] for node in self.nodes}
        for node in self.nodes:
            for need in node.needs:
                found[need].append(node.key)
        return {key: tuple(waiting) for key, waiting in found.items()}


class Circle(ValueError):
    """Steps that wait for each other: `left` are the items they belong to."""

    def __init__(self, left: tuple[str, ...]) -> None:
        super().__init__(f"{' and '.join(left)} wait for each other")
        self.left = left


def graph_of(chains: Sequence[Chain[S]]) -> Graph[S]:
    """Raises Circle. Components that no chain restores are not waited for."""
    ends: dict[str, list[str]] = {}
    for chain in chains:
        ends.setdefault(chain.component, []).extend(_last(chain))
    return Graph(_ordered([node for chain in chains for node in _nodes(chain, ends)]))


def _groups(chain: Chain[S]) -> list[list[tuple[int, S]]]:
    """Steps that may run beside each other stand together."""
    groups: list[list[tuple[int, S]]] = []
    for index, step in enumerate(chain.steps, start=1):
        if step.beside and groups:
            groups[-1].append((index, step))
        else:
            groups.append([(index, step)])
    return groups


def _last(chain: Chain[S]) -> list[str]:
    groups = _groups(chain)
    return [f"{chain.key}.{step.name}" for _, step in groups[-1]] if groups else []


def _nodes(chain: Chain[S], ends: Mapping[str, Sequence[str]]) -> list[Node[S]]:
    found: list[Node[S]] = []
    before: list[str] = []
    for group in _groups(chain):
        for index, step in group:
            others = [end for name in step.after for end in ends.get(name, ())]
            found.append(Node(f"{chain.key}.{step.name}", chain.key, index, step, (*before, *others)))
        before = [node.key for node in found[-len(group) :]]
    return found


def _ordered(nodes: Sequence[Node[S]]) -> tuple[Node[S], ...]:
    """Kahn's way: in order of the recipes, as far as what each needs allows it."""
    left = {node.key: node for node in nodes}
    done: dict[str, Node[S]] = {}
    while left:
        ready = [node for node in left.values() if all(need in done for need in node.needs)]
        if not ready:
            raise Circle(tuple(dict.fromkeys(node.item for node in left.values())))
        for node in ready:
            done[node.key] = left.pop(node.key)
    return tuple(done.values())


# --- how long it takes ----------------------------------------------------------------------------------------------

Seconds = Callable[[Node[S]], float]


def ends_of(graph: Graph[S], seconds: Seconds[S]) -> dict[str, float]:
    """When each step ends, in seconds from the beginning, if every step runs as soon as it may."""
    ends: dict[str, float] = {}
    for node in graph.nodes:
        ends[node.key] = max((ends[need] for need in node.needs), default=0.0) + seconds(node)
    return ends


def makespan(graph: Graph[S], seconds: Seconds[S]) -> float:
    return max(ends_of(graph, seconds).values(), default=0.0)


def critical_path(graph: Graph[S], seconds: Seconds[S]) -> tuple[Node[S], ...]:
    """The chain of steps that decides when the whole ends; what is not on it can take longer without harm."""
    ends = ends_of(graph, seconds)
    nodes = {node.key: node for node in graph.nodes}
    path: list[Node[S]] = []
    at = max(ends, key=lambda key: ends[key], default=None)
    while at is not None:
        path.append(nodes[at])
        at = max(nodes[at].needs, key=lambda key: ends[key], default=None)
    return tuple(reversed(path))


def gains(graph: Graph[S], seconds: Seconds[S]) -> tuple[tuple[Node[S], float], ...]:
    """By how much the whole would end earlier if a step took no time at all: the most that any change to it can buy. Greatest
    first; only steps of the critical path can buy anything."""
    whole = makespan(graph, seconds)

    def without(left_out: Node[S]) -> float:
        return whole - makespan(graph, lambda node: 0.0 if node.key == left_out.key else seconds(node))

    found = [(node, without(node)) for node in critical_path(graph, seconds)]
    return tuple(sorted((entry for entry in found if entry[1] > 0), key=lambda entry: -entry[1]))
