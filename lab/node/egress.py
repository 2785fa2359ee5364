"""What a Pod may open connections to: NetworkPolicies as Kubernetes defines them, reduced to addresses and ports. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network

from lab.node.api import Manifest

TCP, UDP, SCTP = 6, 17, 132
_PROTOCOLS: Mapping[str, int] = {"TCP": TCP, "UDP": UDP, "SCTP": SCTP}
EVERYWHERE = IPv4Network("0.0.0.0/0")
Peers = Callable[[Manifest, str], Iterable[str]]
"""(a peer with selectors, the policy's namespace) -> addresses of the Pods that it means. May block."""


@dataclass(frozen=True, slots=True, order=True)
class Allow:
    """Connections to these addresses and ports. `protocol` 0: any."""

    network: IPv4Network
    low: int = 0
    high: int = 65535
    protocol: int = 0


def allowed(policies: Sequence[Manifest], pod: Manifest, ip: str, peers: Peers) -> tuple[Allow, ...] | None:
    """All that the Pod may reach; None when no policy isolates it. A Pod reaches itself whatever a policy says."""
    mine = [policy for policy in policies if selects_egress(policy, pod)]
    if not mine:
        return None
    rules = [
        rule for policy in mine for entry in policy["spec"].get("egress") or [] for rule in _rules(entry, policy, peers)
    ]
    return tuple(sorted({Allow(IPv4Network(ip)), *rules}))


def selects_egress(policy: Manifest, pod: Manifest) -> bool:
    spec = policy["spec"]
    types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
    here = policy["metadata"].get("namespace") == pod["metadata"].get("namespace")
    return here and "Egress" in types and matches(spec.get("podSelector") or {}, pod["metadata"].get("labels") or {})


def matches(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """A label selector of Kubernetes; an empty one takes all."""
    equal = all(labels.get(key) == value for key, value in (selector.get("matchLabels") or {}).items())
    return equal and all(_expressed(one, labels) for one in selector.get("matchExpressions") or [])


def _expressed(expression: Manifest, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or []
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case other:
            raise ValueError(f"unknown operator {other} in a label selector")


def _rules(entry: Manifest, policy: Manifest, peers: Peers) -> Iterator[Allow]:
    for network in _networks(entry.get("to") or [], policy, peers):
        for low, high, protocol in _ports(entry.get("ports") or []):
            yield Allow(network, low, high, protocol)


def _networks(to: Sequence[Manifest], policy: Manifest, peers: Peers) -> Iterator[IPv4Network]:
    """IPv6 blocks allow nothing: the lab has no such address."""
    if not to:
        yield EVERYWHERE
    for peer in to:
        if block := peer.get("ipBlock"):
            yield from _block(block)
        else:
            yield from map(IPv4Network, peers(peer, policy["metadata"]["namespace"]))


def _block(block: Manifest) -> Iterator[IPv4Network]:
    whole = ip_network(block["cidr"], strict=False)
    left = [whole] if isinstance(whole, IPv4Network) else []
    for text in block.get("except") or []:
        out = ip_network(text, strict=False)
        if isinstance(out, IPv4Network):
            left = [part for network in left for part in _without(network, out)]
    yield from left


def _without(network: IPv4Network, out: IPv4Network) -> Iterable[IPv4Network]:
    if not network.overlaps(out):
        return [network]
    return network.address_exclude(out) if out.subnet_of(network) and out != network else []


def _ports(ports: Sequence[Manifest]) -> Iterator[tuple[int, int, int]]:
    """A port by name allows nothing: who would say what it is called on the other side?"""
    if not ports:
        yield 0, 65535, 0
    for entry in ports:
        protocol, port = _PROTOCOLS[entry.get("protocol", "TCP")], entry.get("port")
        if port is None:
            yield 0, 65535, protocol
        elif isinstance(port, int):
            yield port, int(entry.get("endPort", port)), protocol
