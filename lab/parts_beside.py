"""A second cluster, empty, beside a lab whose cluster is lost: nothing but a control plane and a node in the same cloud.

It shares the lab's buckets, databases and identities, as a new cluster in the same project would, and knows nothing of
the lost one: no object, no certificate, no token.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from lab import veleropod
from lab.parts import CLUSTER, Command, Node, Part, Site, Task
from lab.parts_cluster import CLUSTER_NODES
from lab.pki import create_ca
from lab.state import Lab, LabError

TAKEN = ("credentials", "etcd", "apiserver", "controller-manager", "scheduler", "node")


def make_ca(site: Site) -> None:
    create_ca(site.pki).issue("apiserver")


def write_images(site: Site) -> None:
    veleropod.write_images(site, beside(site))


def beside(site: Site) -> Lab:
    """The lab whose cloud this cluster is in."""
    if not (found := site.options.get("beside")):
        raise LabError("a cluster alone needs a lab to stand beside: --beside DIR")
    return Lab.load(Path(found))


def _node(part: Part, site: Site) -> Command:
    """The lab's own node, with another table of images, and the identities of the cloud that it stands in."""
    argv = list(part.command(site).argv)
    for flag, value in (("--images", site.data("node") / "images.yaml"), ("--iam", beside(site).directory)):
        argv[argv.index(flag) + 1] = str(value)
    return Command(argv)


def _fitted(node: Node) -> Node:
    if isinstance(node, Task) or node.name != "node":
        return replace(node, scope=CLUSTER)
    return replace(node, command=partial(_node, node), after=(*node.after, "images"), scope=CLUSTER)


BESIDE_NODES: tuple[Node, ...] = (
    Task("identities", make_ca, scope=CLUSTER),
    Task("images", write_images, scope=CLUSTER),
    *(_fitted(node) for node in CLUSTER_NODES if node.name in TAKEN),
)
