"""Where the lab's binaries come from, and what is said when they can't be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import build, doctor
from lab.state import LabError

ETCD = build.MODULES[0]


@pytest.fixture
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No cache, nothing on PATH but the returned directory."""
    monkeypatch.setenv("DR_LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def script(path: Path, says: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_the_cache_is_keyed_by_what_is_built(empty_machine: Path) -> None:
    assert ETCD.output == empty_machine.parent / "cache" / "bin" / f"etcd-{ETCD.key}"
    assert len({module.key for module in build.MODULES}) == len(build.MODULES)


def test_a_cached_binary_is_found_before_any_other(empty_machine: Path) -> None:
    script(empty_machine / "etcd", f"etcd Version: {ETCD.version.removeprefix('v')}")
    ETCD.output.mkdir(parents=True)
    (ETCD.output / "etcd").touch()
    assert build.binary("etcd") == ETCD.output / "etcd"


def test_a_binary_of_the_right_minor_version_on_path_is_taken(empty_machine: Path) -> None:
    minor = ".".join(ETCD.version.removeprefix("v").split(".")[:2])
    script(empty_machine / "etcd", f"etcd Version: {minor}.99")
    assert build.binary("etcd") == empty_machine / "etcd"


def test_a_binary_of_another_version_is_not(empty_machine: Path) -> None:
    script(empty_machine / "etcd", "etcd Version: 3.5.6")
    with pytest.raises(LabError, match=r"etcd is not built yet: run `python -m lab\.build`"):
        build.binary("etcd")


def test_velero_is_never_taken_from_elsewhere(empty_machine: Path) -> None:
    script(empty_machine / "velero", "Version: v1.18.3")
    assert build.find("velero") is None


@pytest.mark.parametrize(
    ("says", "sentence"),
    [(None, "no go is on PATH"), ("go version go1.20.1 linux/amd64", "go 1.20 is here")],
)
def test_a_missing_or_old_go_is_named_with_how_to_install_it(
    empty_machine: Path, says: str | None, sentence: str
) -> None:
    if says:
        script(empty_machine / "go", says)
    with pytest.raises(LabError, match=rf"Go >= 1\.26 is needed and {sentence}: install it from https://go.dev/dl/"):
        build.build(ETCD)


def test_the_doctor_names_each_missing_thing_once(empty_machine: Path) -> None:
    sentences = doctor.missing()
    assert [sentence for sentence in sentences if sentence.startswith("Go >= ")] == sentences[-1:]
    assert [sentence for sentence in sentences if "Java" in sentence] == sentences[:1]
    assert sentences[0].startswith("Java >= 17 is missing: apt-get install")
    assert not any(sentence.startswith("Go") for sentence in doctor.missing("data"))


def test_the_doctor_finds_an_old_java(empty_machine: Path) -> None:
    (empty_machine / "java").write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    (empty_machine / "java").chmod(0o755)
    assert any("Java >= 17 is needed and" in sentence and "is 11" in sentence for sentence in doctor.missing("data"))


def test_the_doctor_names_a_missing_browser_to_those_who_test_pages(empty_machine: Path) -> None:
    (sentence,) = doctor.missing("browser")
    assert sentence.startswith("chromium and chromedriver missing: apt-get install chromium chromium-driver")
    script(empty_machine / "chromium", "")
    script(empty_machine / "chromedriver", "")
    assert doctor.missing("browser") == []


def test_the_doctor_says_first_what_python_is_needed(empty_machine: Path) -> None:
    assert doctor.missing(python=(3, 9)) == ["Python >= 3.11 is needed and this is 3.9: apt-get install python3.11"]
    assert doctor.missing("python") == []


def test_the_doctor_runs_before_anything_is_installed() -> None:
    """Isolated and without site-packages: what is not in the standard library can't be imported."""
    argv = [sys.executable, "-I", "-S", doctor.__file__, "--only", "full"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert all(line.startswith("missing: ") for line in done.stderr.splitlines())
