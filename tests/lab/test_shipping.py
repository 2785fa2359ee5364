"""What is shipped: the image by its own Dockerfile's commands, wheel and sdist in a clean environment, the bill of materials."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.lab.dockerfile import command, environment, ignored, script, stages, words

ROOT = Path(__file__).parents[2]
STAGES = stages((ROOT / "Dockerfile").read_text())
UV = Path(sys.executable).parent / "uv"
RUNTIME_PYTHON = Path("/usr/bin/python3")
OFFLINE = {
    "DR_SCOPE": "lab",
    "DR_CONTROL": "file:///tmp/control",
    "DR_VAULTS_CLUSTER_URL": "file:///tmp/vaults/cluster",
    "DR_VAULTS_APPDATA_URL": "file:///tmp/vaults/appdata",
    "DR_VAULTS_CONFIG_URL": "file:///tmp/vaults/config",
    "DR_VAULTS_AUDIT_URL": "file:///tmp/vaults/audit",
    "DR_CACHE_DIR": "/tmp/cache",
}


def run(argv: list[str], cwd: Path | None = None, environ: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


# --- the image -------------------------------------------------------------------------------------------------------


def same_python() -> bool:
    shown = subprocess.run([RUNTIME_PYTHON, "--version"], capture_output=True, text=True, check=False).stdout
    return shown.startswith(f"Python {sys.version_info[0]}.{sys.version_info[1]}.")


def machine() -> str:
    """Why the image's commands cannot be run here; nothing when they can."""
    if os.geteuid() != 0:
        return "only root may mount"
    return "" if RUNTIME_PYTHON.exists() and same_python() else f"{RUNTIME_PYTHON} is not the image's Python"


@pytest.mark.skipif(bool(machine()), reason=machine() or "-")
def test_the_images_commands_make_a_dr_that_runs_with_a_read_only_root_as_nobody(tmp_path: Path) -> None:
    """Stage one is built in a clean /srv and /opt; stage two is the rest of this machine made read-only, another user, and
    nothing of the build in sight."""
    build, runtime = STAGES
    (tmp_path / "python").symlink_to(os.path.realpath(sys.executable))  # the base image's, outside of any environment
    lines = ["set -eu", *(f"mount -t tmpfs none {place}" for place in ("/srv", "/opt")), *script(build, ROOT)]
    lines += ["mount -t tmpfs none /srv", *_sealed(), _as_nobody(environment(runtime), _session(command(runtime)[0]))]
    # how packages are reached is this machine's affair: proxies, roots, caches
    environ = {**os.environ, "PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"}
    environ["UV_CACHE_DIR"] = run([str(UV), "cache", "dir"]).strip()
    said = run(["unshare", "--mount", "--propagation", "private", "bash", "-c", "\n".join(lines)], environ=environ)
    assert "left: none" in said, "pip, hatchling and uv stay in the first stage"
    assert "Back up, lose it, restore" in said
    assert re.search(r"^strategy\.yaml$", said, re.M)
    assert "RPO < 1d" in said or "< 24 h" in said
    assert "refused: read-only" in said


def _sealed() -> list[str]:
    return ["mount -o remount,bind,ro /opt", "mount -t tmpfs none /tmp", "mount -o remount,bind,ro /"]


def _as_nobody(environ: dict[str, str], lines: list[str]) -> str:
    pairs = " ".join(f"{name}={shlex.quote(value)}" for name, value in {**environ, **OFFLINE}.items())
    who = "setpriv --reuid=65532 --regid=65532 --clear-groups --bounding-set=-all --no-new-privs"
    return f"chmod 1777 /tmp; cd /tmp; {who} env -i {pairs} bash -c {shlex.quote('set -eu; ' + '; '.join(lines))}"


def _session(dr: str) -> list[str]:
    tools = "find /opt/dr -maxdepth 3 ( -name pip -o -name hatchling -o -name uv -o -name setuptools ) | wc -l"
    return [
        f"echo left: $({tools.replace('(', chr(92) + '(').replace(')', chr(92) + ')')} | sed s/^0$/none/)",
        f"{dr} --help",
        f"{dr} init",
        "sed -i /^strategy/d dr.yaml",
        f"rm dr.yaml; {dr} plan --offline",
        "touch /opt/dr/x 2>/dev/null || echo refused: read-only",
    ]


def test_the_image_runs_as_nobody_copies_no_build_stage_and_takes_its_bases_by_argument() -> None:
    text = (ROOT / "Dockerfile").read_text()
    build, runtime = STAGES
    assert words(runtime, "USER") == ["65532:65532"]
    assert words(runtime, "RUN") == []
    assert words(runtime, "COPY") == ["--from=build /opt/dr /opt/dr"]
    assert [words(stage, "FROM")[0].split()[0] for stage in STAGES] == ["${BUILD}", "${RUNTIME}"]
    assert "distroless" in text
    for line in words(build, "RUN"):
        if "install" in line and "--no-index" not in line:
            assert "--require-hashes" in line


def test_the_build_context_has_what_is_copied_and_nothing_that_is_private() -> None:
    rules = (ROOT / ".dockerignore").read_text()
    for line in words(STAGES[0], "COPY"):
        for source in shlex.split(line)[:-1]:
            assert (ROOT / source).exists()
            assert not ignored(rules, source), source
    for private in (".git", ".venv", "tests", "lab", ".lab", "dist", "dr/__pycache__", "keys/capture.json"):
        assert ignored(rules, private), private


# --- wheel and sdist -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both, as `make dist` makes them."""
    home = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-d", str(home)], cwd=ROOT)
    return home


def members(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("RECORD")}


def test_the_wheel_installs_in_a_clean_environment_and_works(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    python = str(tmp_path / "venv" / "bin" / "python")
    run([str(UV), "venv", "-q", "--python", sys.executable, str(tmp_path / "venv")])
    install = [str(UV), "pip", "install", "-q", "--python", python]
    run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt")])
    run([*install, "--no-deps", "--no-index", str(wheel)])
    environ = {"PATH": f"{tmp_path / 'venv' / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path)}
    places = {name: value.replace("/tmp/", f"{tmp_path}/") for name, value in OFFLINE.items()}
    home = tmp_path / "elsewhere"
    home.mkdir()
    assert "restore" in run(["dr", "--help"], cwd=home, environ=environ)
    assert run(["dr", "init"], cwd=home, environ=environ).split() == ["strategy.yaml", "dr.yaml"]
    (home / "dr.yaml").unlink()
    assert "< 24 h" in run(["dr", "plan", "--offline"], cwd=home, environ={**environ, **places})
    run(["dr", "schedules", "render", "--out", "k8s"], cwd=home, environ={**environ, **places})
    assert (home / "k8s" / "base" / "rbac.yaml").exists()
    assert run(["dr", "runbook", "list", "-o", "name"], cwd=home, environ=environ)


def test_the_sdist_builds_the_same_wheel(built: Path, tmp_path: Path) -> None:
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")], cwd=source)
    (again,) = (tmp_path / "again").glob("*.whl")
    assert members(again) == members(wheel)


def test_the_wheel_carries_its_data(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = set(members(wheel))
    tracked = run(["git", "ls-files", "dr"], cwd=ROOT).split()
    assert {name for name in tracked if (ROOT / name).exists()} <= names
    assert any(name.startswith("dr/runbooks/") for name in names)


# --- the bill of materials -------------------------------------------------------------------------------------------


def test_the_bill_of_materials_names_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    made = tmp_path / "dr.cdx.json"
    recipe = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "cyclonedx-py" in line)
    tool = shutil.which("cyclonedx-py", path=str(Path(sys.executable).parent))
    assert tool is not None
    argv = shlex.split(recipe.strip().replace("$(BIN)/cyclonedx-py", tool).replace("dist/dr.cdx.json", str(made)))
    run(argv, cwd=ROOT)
    bill = json.loads(made.read_text())
    locked = dict(re.findall(r"^([a-zA-Z0-9_.-]+)==([^ ;\\]+)", (ROOT / "requirements" / "run.txt").read_text(), re.M))
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "dr")
    assert {one["name"]: one["version"] for one in bill["components"]} == locked
    assert all(reference["hashes"] for one in bill["components"] for reference in one["externalReferences"])


def test_the_locked_requirements_are_what_dr_imports() -> None:
    """Everything that pyproject.toml asks for is locked to run with, and nothing that only builds or tests."""
    locked = (ROOT / "requirements" / "run.txt").read_text()
    for tool in ("pytest", "hatchling", "ruff", "mypy", "selenium"):
        assert not re.search(rf"^{tool}==", locked, re.M), tool
    assert importlib.util.find_spec("dr") is not None
    assert all(line.count("--hash=sha256:") <= 1 for line in locked.splitlines())
