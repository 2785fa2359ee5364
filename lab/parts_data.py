"""The parts that need no build: identities, tokens, Cloud Storage, Firestore, Pub/Sub."""

from __future__ import annotations

import socket
from collections.abc import Callable

from lab import setup
from lab.kms.names import CONFIG_KEYS, EVIDENCE_KEY
from lab.parts import Command, Node, Part, Site, Task, module
from lab.state import AUDIT_SINK, PROJECT, LabError, cloud_log


def _listens(port: str) -> Callable[[Site], bool]:
    """The emulators serve as soon as they accept: they bind last."""

    def probe(site: Site) -> bool:
        with socket.socket() as attempt:
            attempt.settimeout(0.5)
            return attempt.connect_ex(("127.0.0.1", site.port(port))) == 0

    return probe


def _tokens(site: Site) -> Command:
    where = ("--port", site.port("tokens"), "--iam", site.directory, "--log", cloud_log(site.data("logging")))
    return Command(module("tokens", *where, *site.certificate("tokens")))


def _storage(site: Site) -> Command:
    ports = ("--port", site.port("storage"), "--plain-port", site.port("storage.plain"))
    control = ("--control-port", site.port("storage.control"), "--plain-identity", "velero")
    certificate = site.certificate("storage")
    where = ("--dir", site.data("storage"), "--iam", site.directory)
    return Command(module("storage", *where, *ports, *control, *certificate))


def _firestore_emulator(site: Site) -> Command:
    from lab.emulators import firestore_command

    return Command(_argv(firestore_command(site.port("firestore-emulator"))), cwd=site.data("firestore-emulator"))


def _pubsub_emulator(site: Site) -> Command:
    from lab.emulators import pubsub_command

    return Command(_argv(pubsub_command(site.port("pubsub-emulator"))), cwd=site.data("pubsub-emulator"))


def _argv(command: object) -> tuple[str, ...]:
    if not isinstance(command, (list, tuple)):
        raise LabError(f"lab.emulators gave {command!r} as a command line")
    return tuple(str(word) for word in command)


def _firestore(site: Site) -> Command:
    where = ("--port", site.port("firestore"), "--control-port", site.port("firestore.control"))
    upstream = ("--emulator", site.address("firestore-emulator"), "--storage", f"https://{site.address('storage')}")
    window = ("--pitr-window", site.options.get("pitr-window", "240"))
    granularity = ("--snapshot-granularity", site.options.get("snapshot-granularity", "60"))
    quota = ("--requests-per-minute", site.options.get("requests-per-minute", "20"))
    state = ("--iam", site.directory, "--dir", site.data("firestore"), "--pubsub", site.address("pubsub-emulator"))
    certificate = site.certificate("firestore")
    return Command(module("firestore", *upstream, *where, *certificate, *state, *window, *granularity, *quota))


def _pubsub(site: Site) -> Command:
    where = ("--emulator", site.address("pubsub-emulator"), "--port", site.port("pubsub"), "--iam", site.directory)
    # what the sink published is in Cloud Logging too: who publishes to its topic writes there
    logged = ("--log", cloud_log(site.data("logging")), "--logged-topic", f"projects/{PROJECT}/topics/{AUDIT_SINK}")
    return Command(module("pubsub", *where, *logged, *site.certificate("pubsub")))


def _kms(site: Site) -> Command:
    where = ("--port", site.port("kms"), "--control-port", site.port("kms.control"), "--dir", site.data("kms"))
    keys = (*(word for key in CONFIG_KEYS for word in ("--encrypt-key", key)), "--signing-key", EVIDENCE_KEY)
    return Command(module("kms", *where, *keys, "--iam", site.directory, *site.certificate("kms")))


DATA_NODES: tuple[Node, ...] = (
    Part("firestore-emulator", _firestore_emulator, probe=_listens("firestore-emulator")),
    Part("pubsub-emulator", _pubsub_emulator, probe=_listens("pubsub-emulator")),
    Task("identities", setup.make_identities),
    Part("tokens", _tokens, after=("identities",)),
    Part("storage", _storage, after=("identities",)),
    Part("kms", _kms, after=("identities",)),
    Task("buckets", setup.make_buckets, after=("storage",)),
    Part("pubsub", _pubsub, after=("identities", "pubsub-emulator")),
    Task("topics", setup.make_topics, after=("pubsub-emulator",)),
    Part("firestore", _firestore, after=("firestore-emulator", "pubsub-emulator", "storage", "tokens")),
    Task("database", setup.make_database, after=("firestore", "buckets")),
)


def data_endpoints(site: Site) -> dict[str, str]:
    """For lab.json."""
    return {
        "storage": f"https://{site.address('storage')}",
        "storage_plain": f"http://{site.address('storage.plain')}",
        "storage_control": f"http://{site.address('storage.control')}",
        "tokens": f"https://{site.address('tokens')}/token",
        "firestore": site.address("firestore"),
        "firestore_control": f"http://{site.address('firestore.control')}",
        "kms": site.address("kms"),
        "kms_control": f"http://{site.address('kms.control')}",
        "firestore_emulator": site.address("firestore-emulator"),
        "pubsub": site.address("pubsub"),
        "pubsub_emulator": site.address("pubsub-emulator"),
    }
