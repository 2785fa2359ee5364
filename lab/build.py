"""`python -m lab.build`: the lab's Go binaries, built once into a cache that is keyed by what they are built from.

`~/.cache/dr-lab/bin/<module>-<hash of go.mod and go.sum>/<binary>`; `DR_LAB_CACHE` moves `~/.cache/dr-lab`.
A binary of the right minor version on PATH or in KUBEBUILDER_ASSETS is taken as it is.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.state import LabError

MODULES_DIRECTORY = Path(__file__).resolve().parent / "modules"
KUBERNETES_VERSION = "k8s.io/component-base/version"
VELERO_VERSION = "github.com/vmware-tanzu/velero/pkg/buildinfo.Version"
VELERO_SECOND_LISTENER = "sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress"
"""Velero has no flag for it, and on its fixed port 8080 no two labs could run; "0" turns it off (--metrics-address stays)."""


@dataclass(frozen=True, slots=True)
class Module:
    """One Go module: its binaries with the packages they are built from, and the requirement that names its version."""

    name: str
    packages: Mapping[str, str]
    version_of: str
    version_flags: Mapping[str, Sequence[str]]
    """How a binary found elsewhere tells its version; none: never taken from elsewhere (Velero's has a fixed port)."""
    tags: str = ""
    """Build tags: what a module offers to leave out."""

    @property
    def directory(self) -> Path:
        return MODULES_DIRECTORY / self.name

    @property
    def key(self) -> str:
        content = (self.directory / "go.mod").read_bytes() + (self.directory / "go.sum").read_bytes()
        content += self.linker_flags.encode() + self.tags.encode()
        return hashlib.sha256(content).hexdigest()[:16]

    @property
    def output(self) -> Path:
        return cache() / "bin" / f"{self.name}-{self.key}"

    @property
    def version(self) -> str:
        """As required in go.mod: `v1.35.2`."""
        pattern = rf"^\s*(?:require )?{re.escape(self.version_of)} (v\S+)"
        found = re.search(pattern, (self.directory / "go.mod").read_text(), re.MULTILINE)
        if not found:
            raise LabError(f"{self.directory}/go.mod does not require {self.version_of}")
        return found.group(1)

    @property
    def linker_flags(self) -> str:
        """Stripped, and stamped with the version: kubectl refuses a server that tells none."""
        major, minor = self.version.removeprefix("v").split(".")[:2]
        kubernetes = (
            f" -X {KUBERNETES_VERSION}.gitVersion={self.version} -X {KUBERNETES_VERSION}.gitMajor={major}"
            f" -X {KUBERNETES_VERSION}.gitMinor={minor}"
        )
        stamps = {
            "control-plane": kubernetes,
            "kubectl": kubernetes,
            "velero": f" -X {VELERO_VERSION}={self.version} -X {VELERO_SECOND_LISTENER}=0",
        }
        return "-s -w" + stamps.get(self.name, "")

    def missing(self) -> dict[str, str]:
        """Binaries that neither the cache nor the machine has, with their packages."""
        return {name: package for name, package in self.packages.items() if find(name) is None}


MODULES = (
    Module(
        "etcd",
        {"etcd": "go.etcd.io/etcd/server/v3"},
        "go.etcd.io/etcd/server/v3",
        {"etcd": ("--version",)},
    ),
    Module(
        "velero",
        {
            "velero": "github.com/vmware-tanzu/velero/cmd/velero",
            "velero-plugin-for-gcp": "github.com/vmware-tanzu/velero-plugin-for-gcp/velero-plugin-for-gcp",
            "fake-gcs-server": "github.com/fsouza/fake-gcs-server",
        },
        "github.com/vmware-tanzu/velero",
        {},
    ),
    Module(
        "prometheus",
        {"promtool": "github.com/prometheus/prometheus/cmd/promtool"},
        "github.com/prometheus/prometheus",
        # its own numbering: v0.313 of the module is 3.13 of the binary
        {},
        # rules are checked without finding anything to scrape: the clouds' SDKs are two thirds of the compilation
        tags="remove_all_sd",
    ),
    Module(
        "control-plane",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        },
        "k8s.io/kubernetes",
        dict.fromkeys(("kube-apiserver", "kube-controller-manager", "kube-scheduler"), ("--version",)),
    ),
    Module(
        # a module of its own, so that its requirements leave the control plane's as they are
        "kubectl",
        {"kubectl": "k8s.io/kubernetes/cmd/kubectl"},
        "k8s.io/kubernetes",
        {"kubectl": ("version", "--client")},
    ),
)

FOR_TESTS = ("fake-gcs-server", "promtool", "kubectl")
"""Binaries that tests run and no lab needs."""


def cache() -> Path:
    """Where binaries are kept between labs."""
    return Path(os.environ.get("DR_LAB_CACHE") or Path.home() / ".cache" / "dr-lab").absolute()


def binary(name: str) -> Path:
    """The binary called `name`; LabError says how to get it."""
    found = find(name)
    if found is None:
        raise LabError(f"{name} is not built yet: run `python -m lab.build` (about 8 minutes, once)")
    return found


def find(name: str) -> Path | None:
    """In the cache, else in KUBEBUILDER_ASSETS or on PATH when its minor version is ours."""
    module = next(module for module in MODULES if name in module.packages)
    cached = module.output / name
    return cached if cached.exists() else _elsewhere(module, name)


def _elsewhere(module: Module, name: str) -> Path | None:
    if name not in module.version_flags:
        return None
    places = os.pathsep.join(filter(None, (os.environ.get("KUBEBUILDER_ASSETS"), os.environ.get("PATH"))))
    found = shutil.which(name, path=places)
    if found is None or not _same_minor(found, tuple(module.version_flags[name]), module.version):
        return None
    return Path(found)


@functools.lru_cache
def _same_minor(path: str, flags: tuple[str, ...], version: str) -> bool:
    """`etcd Version: 3.6.1`, `Kubernetes v1.35.0`, `Version: v1.18.3` against ours."""
    try:
        shown = subprocess.run((path, *flags), capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    minor = ".".join(version.removeprefix("v").split(".")[:2])
    return re.search(rf"\bv?{re.escape(minor)}\.\d", shown) is not None


def build(module: Module) -> None:
    """Build what is missing. Two at once: the second waits, then finds everything there."""
    if not module.missing():
        return
    go = require_go(module)
    module.output.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(module):
        for name, package in module.missing().items():
            _build_one(go, module, name, package)


@contextmanager
def _one_at_a_time(module: Module) -> Iterator[None]:
    with (module.output.parent / f".{module.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another build of {module.name}...", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def require_go(module: Module) -> str:
    """The go command; LabError when it is missing or too old for the module."""
    wanted = re.search(r"^go (\d+)\.(\d+)", (module.directory / "go.mod").read_text(), re.MULTILINE)
    assert wanted, "every go.mod names its Go"
    go = shutil.which("go")
    shown = _output((go, "version")) if go else ""
    found = re.search(r"go(\d+)\.(\d+)", shown)
    least = (int(wanted[1]), int(wanted[2]))
    if not go or not found or (int(found[1]), int(found[2])) < least:
        have = f"go {found[1]}.{found[2]} is here" if found else "no go is on PATH"
        raise LabError(f"Go >= {least[0]}.{least[1]} is needed and {have}: install it from https://go.dev/dl/")
    return go


def _output(argv: Sequence[str]) -> str:
    return subprocess.run(argv, capture_output=True, text=True, cwd=MODULES_DIRECTORY, check=False).stdout


def _build_one(go: str, module: Module, name: str, package: str) -> None:
    began = time.monotonic()
    flags = ("-trimpath", "-ldflags", module.linker_flags, *(("-tags", module.tags) if module.tags else ()))
    stale = _stale(go, module, flags, package)
    print(f"{name}: {stale} packages to compile", flush=True)
    temporary = module.output.with_name(f".{module.name}-{name}.{os.getpid()}")
    argv = (go, "build", "-v", *flags, "-o", str(temporary), package)
    _follow(argv, module, Meter(name, stale, began))
    module.output.mkdir(exist_ok=True)
    os.replace(temporary, module.output / name)
    print(f"{name}: built in {time.monotonic() - began:.0f} s", flush=True)


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off"}


def _stale(go: str, module: Module, flags: Sequence[str], package: str) -> int:
    """How many packages are not in Go's build cache; their sources are downloaded on the way."""
    argv = (go, "list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *flags, package)
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, text=True, cwd=module.directory, env=_environment(), check=False
    )
    if done.returncode:
        raise LabError(f"go list {package} failed (its message is above)")
    return len(done.stdout.split())


@dataclass(slots=True)
class Meter:
    """Progress on one line of a terminal, or every 10 seconds in a log."""

    name: str
    total: int
    began: float
    done: int = 0
    shown: float = 0

    def step(self, package: str) -> None:
        self.done += 1
        now, terminal = time.monotonic(), sys.stdout.isatty()
        if now - self.shown < (0.1 if terminal else 10):
            return
        self.shown = now
        line = f"{self.name}: {self.done}/{self.total} {now - self.began:.0f} s  {package}"
        print(f"\r\033[K{line[:100]}" if terminal else line, end="" if terminal else "\n", flush=True)

    def close(self) -> None:
        if sys.stdout.isatty():
            print("\r\033[K", end="", flush=True)


def _follow(argv: Sequence[str], module: Module, meter: Meter) -> None:
    """`go build -v` names each package on stderr as it begins it; whatever else it says is an error's text."""
    said: list[str] = []
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd=module.directory, env=_environment()) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line.rstrip())
            if " " not in line.strip():
                meter.step(line.strip())
    meter.close()
    if process.returncode:
        raise LabError("go build failed:\n" + "\n".join(line for line in said[-30:] if " " in line))


def main() -> None:
    """Build all modules, or those named."""
    parser = argparse.ArgumentParser(prog="python -m lab.build", description=__doc__)
    parser.add_argument("--module", action="append", choices=[module.name for module in MODULES])
    arguments = parser.parse_args()
    try:
        for module in MODULES:
            if not arguments.module or module.name in arguments.module:
                build(module)
                print(f"{module.name}: ready in {module.output}", flush=True)
    except LabError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
