"""Configuration on the whole lab: followed through faults, broken, looked at, restored; judged by the writers' record."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import zstandard

from dr.model.timeline import format_instant
from lab.energent.configuration import SECRET_MARK
from lab.energent.manifests import NAMESPACE
from lab.energent.witness import CONFIG_SOURCE
from lab.grants import CONFIG_VAULT
from lab.kube import Kube, wait_for
from lab.state import Lab
from tests.lab.command import ROOT, Dr
from tests.lab.configured import config_strategy

if TYPE_CHECKING:
    from google.cloud.storage import Client

pytestmark = pytest.mark.cluster
CLUSTER = "energent-production"
SECRET = f"{NAMESPACE}/energent-api-keys"
ROTATED = base64.b64encode(b"rotated-by-mistake").decode()
DEADLINE_S = 60
WRITTEN_KINDS = (
    "/api/v1/configmaps",
    "/api/v1/secrets",
    "/apis/rbac.authorization.k8s.io/v1/roles",
    "/apis/autoscaling/v2/horizontalpodautoscalers",
    "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations",
)


@dataclass(frozen=True, slots=True)
class Site:
    """A filled lab whose configuration is followed."""

    dr: Dr
    lab: Lab
    kube: Kube
    storage: Client

    @property
    def witness(self) -> Path:
        return self.dr.work / "witness.jsonl"

    @property
    def notices(self) -> Path:
        return self.dr.work / "notices.jsonl"

    def written(self) -> int:
        return self.witness.read_bytes().count(CONFIG_SOURCE.encode())

    def noticed(self, kind: str) -> int:
        return self.notices.read_text().count(f'"kind": "{kind}"')

    def more_writes(self, count: int) -> None:
        goal = self.written() + count
        wait_for(f"{count} more writes", lambda: self.written() >= goal, DEADLINE_S)

    @contextmanager
    def running(self, *module: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """`python -m ...` until the block ends; then it must end well."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", *module], cwd=ROOT, env=self.dr.environment, stdout=out, stderr=out
            )
            try:
                yield process
            finally:
                process.terminate()
                code = process.wait(DEADLINE_S)
        assert code == 0, log.read_text()[-2000:]

    def seen_until_now(self) -> str:
        """An instant that the log has passed."""
        now = datetime.now(UTC)
        wait_for("the log to pass this instant", lambda: self.watermark() > now, DEADLINE_S)
        return format_instant(now)

    def watermark(self) -> datetime:
        """As a listing of the vault tells it."""
        blobs = self.storage.list_blobs(CONFIG_VAULT, prefix="log/")
        marks = [blob.metadata.get("dr-watermark", "") for blob in blobs if blob.metadata]
        return datetime.fromisoformat(max(marks, default="2000-01-01T00:00:00Z").replace("Z", "+00:00"))


@pytest.fixture
def site(lab: Lab, kube: Callable[[str], Kube], storage: Callable[[str], Client], tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "strategy.yaml").write_text(config_strategy(heartbeat="1s"))
    dr = Dr(lab.directory, tmp_path)
    here = Site(dr, lab, kube("admin"), storage("operator"))
    fill = ("fill", "--lab", str(lab.directory), "--tenants", "3", "--documents", "60", "--witness", str(here.witness))
    filled = dr.module("lab.energent", *fill)
    assert filled.code == 0, filled.err
    dr.fine("init", "--repositories")
    yield here
    for path in WRITTEN_KINDS:
        for item in here.kube.items(path):
            meta = dict(item["metadata"])  # type: ignore[call-overload]
            if str(meta["name"]).startswith(("cfg-", "job-")):
                where, _, plural = path.rpartition("/")
                here.kube.delete(f"{where}/namespaces/{meta['namespace']}/{plural}/{meta['name']}")


def test_configuration_survives_faults_is_sealed_and_comes_back(site: Site) -> None:
    """One lab, one log: each part goes on where the one before left it."""
    with site.running("tests.lab.followed", CONFIG_SOURCE, log=site.notices) as follower:
        wait_for("the first listing", lambda: site.noticed("opened") > 0, DEADLINE_S)
        followed_through_faults(site, follower)
        broken_looked_at_and_restored(site)
    packed_and_verified(site)
    no_secret_is_in_the_vault(site)


def followed_through_faults(site: Site, follower: subprocess.Popen[bytes]) -> None:
    """The API server dies while writers write; then history is compacted away while the follower sleeps (410). Nothing
    acknowledged is missing."""
    rates = ("--only", "kubernetes", "--config-rate", "20", "--configmap-rate", "3")
    write = ("lab.energent", "write", "--lab", str(site.lab.directory), "--out", str(site.witness), *rates)
    with site.running(*write, log=site.dr.work / "writers.log"):
        site.more_writes(60)
        restart_apiserver(site)
        site.more_writes(30)
        wait_for("the watches again", lambda: site.noticed("reconnected") > 0, DEADLINE_S)
        before = site.noticed("relisted")
        follower.send_signal(signal.SIGSTOP)
        try:
            restart_apiserver(site)  # what is written from here on is in no buffer of the follower's
            site.more_writes(30)
            restart_apiserver(site, compact=True)
        finally:
            follower.send_signal(signal.SIGCONT)
        site.more_writes(30)
        wait_for("new lists", lambda: site.noticed("relisted") > before, DEADLINE_S)
    site.seen_until_now()  # every kind is listed anew: a deletion that nobody watched is dated by the listing that lacks it
    struck = site.seen_until_now()
    drilled = site.dr.fine(
        "drill", "run", "config", "--disaster-at", struck, "--witness", str(site.witness), "-o", "json"
    )
    rows = {
        row["domain"]: row for row in drilled.items if row["component"] == "config" and row["verdict"] != "not drilled"
    }
    assert set(rows) == {"logical", "source"}
    for row in rows.values():
        assert row["verdict"] == "0 lost, not guaranteed", row
        assert row["rpo"]["acknowledged"] >= 100
        assert all(check["passed"] for check in row["checks"])
    left = [item for item in site.kube.items("/api/v1/namespaces") if "drill-" in str(item["metadata"])]
    assert not left


def restart_apiserver(site: Site, *, compact: bool = False) -> None:
    """Every watch is cut; with `compact` the versions before are gone as well."""
    site.lab.ask({"op": "kill", "part": "apiserver", "signal": "KILL"})
    if compact:
        revision = etcd(site, "kv/range", {"key": base64.b64encode(b"\0").decode(), "limit": "1"})["header"]["revision"]
        etcd(site, "kv/compaction", {"revision": revision, "physical": True})
    site.lab.ask({"op": "start", "part": "apiserver"})


def etcd(site: Site, call: str, body: dict[str, object]) -> dict[str, dict[str, str]]:
    request = urllib.request.Request(f"{site.lab.endpoints['etcd']}/v3/{call}", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, dict[str, str]] = json.load(answer)
    return found


def broken_looked_at_and_restored(site: Site) -> None:
    """A wrong release goes back to the instant before it; the Secret only when it is named."""
    site.seen_until_now()
    struck = site.dr.module("lab", "disaster", "config-broken", "--dir", str(site.lab.directory))
    assert struck.code == 0, struck.err
    at = json.loads(struck.out)["at"]
    site.seen_until_now()
    changed = site.dr("config", "diff", "--from", at, "--to", "live", "-o", "json")
    assert changed.code == 1, changed.err
    names = {(item["kind"].partition(".")[0], item["name"]): item["change"] for item in changed.items}
    assert names["rolebindings", "energent-platform"] == "removed"
    assert names["secrets", "energent-api-keys"] == "changed"
    assert {"configmaps", "horizontalpodautoscalers", "kustomizations", "roles"} <= {kind for kind, _ in names}
    assert ROTATED not in changed.out
    restore = ("restore", "--point-in-time", at, "--component", "config", "--auto-approve")
    site.dr(*restore).refused(2, "is alive", f"--over {CLUSTER}")
    site.dr.fine(*restore, "--over", CLUSTER)
    left = site.dr("config", "diff", "--from", at)
    assert left.code == 1
    assert [line.split()[1] for line in left.out.splitlines()[1:]] == [f"{NAMESPACE}/secrets/energent-api-keys"]
    site.dr.fine(*restore, "--over", CLUSTER, "--secret", SECRET)
    assert site.dr("config", "diff", "--from", at).code == 0
    plan = ("restore", "plan", "--point-in-time", at, "--component", "config", "--over", CLUSTER)
    site.dr(*plan, "--secret", "no/such").refused(1, "no/such")


def packed_and_verified(site: Site) -> None:
    """The log rolls into a point that reads back; what it tells of a Secret is that it changed."""
    (made,) = site.dr.fine("backup", "config", "-o", "json").items
    site.dr.fine("points", "verify", "--component", "config")
    assert made["point"]["method"] == "config-pack"
    history = site.dr.fine("config", "history", "energent-api-keys", "-o", "json")
    assert [(item["operation"], item["changed"]) for item in history.items[-2:]] == [("changed", ["data"])] * 2
    shown = site.dr.fine("config", "show", "energent-api-keys", "-o", "json")
    assert shown.items[0]["object"]["data"] == "(sealed)"
    site.dr("config", "diff", "--from", "2001-01-01T00:00:00Z").refused(2, "begins after")


def no_secret_is_in_the_vault(site: Site) -> None:
    """Every stored byte, and what is in it."""
    texts = []
    for blob in site.storage.list_blobs(CONFIG_VAULT):
        data = blob.download_as_bytes()
        texts += [
            data,
            *([zstandard.ZstdDecompressor().decompressobj().decompress(data)] if blob.name.endswith(".zst") else []),
        ]
    whole = b"\n".join(texts)
    assert b"/secrets/cfg-" in whole  # the Secrets are there, by name
    for clear in (SECRET_MARK, ROTATED, "rotated-by-mistake", "lab-only-gateway-key", "bGFiLW9ubHktZ2F0ZXdheS1rZXk"):
        assert clear.encode() not in whole, clear
    for shift in range(3):
        # base64 of a text depends on where it stands
        piece = base64.b64encode(b" " * shift + SECRET_MARK.encode())[4:-4]
        assert piece not in whole
