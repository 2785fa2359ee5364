"""Settings: flags over environment over file; faults name where they stand."""

import json
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml

from dr.errors import CONFIGURATION, DrError
from dr.model.strategy import Place
from dr.settings import Settings, load_settings, settings_template
from dr.settings.keys import json_schema

LAB = """\
apiVersion: dr/v1
kind: Settings
scope: lab
control: gs://energent-dr-control
vaults:
  cluster: {url: gs://energent-vault-cluster, project: energent-backup, location: us-east1}
  appdata: {url: gs://energent-vault-appdata, project: energent-backup, location: US-EAST1}
credentials: {capture: keys/capture.json, restore: /abs/restore.json}
kubernetes: {capture: kubeconfigs/capture, restore: kubeconfigs/restore}
endpoints: {storage: "https://127.0.0.1:1", firestore: "127.0.0.1:2"}
caFile: pki/ca.pem
velero: {namespace: velero, storageLocation: gcp}
cacheDir: cache
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "dr.yaml"
    path.write_text(LAB)
    return path


def refusal(path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    path.write_text(text)
    with pytest.raises(DrError) as caught:
        load_settings(path, environ or {})
    assert caught.value.kind is CONFIGURATION
    return caught.value.message


def test_everything_is_read_and_paths_are_relative_to_the_file(file: Path) -> None:
    settings = load_settings(file, {})
    here = file.parent
    assert (settings.scope, settings.control) == ("lab", "gs://energent-dr-control")
    assert settings.places()["appdata"] == Place("energent-backup", "us-east1")
    assert (settings.credentials.capture, settings.credentials.restore) == (
        here / "keys/capture.json",
        Path("/abs/restore.json"),
    )
    assert settings.kubernetes.restore == here / "kubeconfigs/restore"
    assert settings.endpoints.firestore == "127.0.0.1:2"
    assert (settings.ca_file, settings.cache_dir) == (here / "pki/ca.pem", here / "cache")
    assert settings.velero.storage_location == "gcp"
    assert settings.strategy is None


def test_flags_win_over_environment_wins_over_file(file: Path) -> None:
    environ = {"DR_CONTROL": "gs://from-environment", "DR_SCOPE": "staging", "DR_VAULTS_APPDATA_URL": "gs://other"}
    settings = load_settings(file, environ, {"control": "gs://from-flag", "strategy": None})
    assert (settings.control, settings.scope) == ("gs://from-flag", "staging")
    assert settings.vault("appdata").url == "gs://other"
    assert settings.vault("appdata").project == "energent-backup"


def test_the_environment_alone_suffices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "DR_SCOPE": "lab",
        "DR_CONTROL": "file://./control",
        "DR_VAULTS_CLUSTER_URL": "file:///v/",
        "DR_STRATEGY": "s",
    }
    settings = load_settings(None, environ)
    assert settings.control == f"file://{tmp_path}/control"
    assert settings.vault("cluster").url == "file:///v"
    assert settings.strategy == tmp_path / "s"


def test_the_file_is_found_by_argument_then_environment_then_beside(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings(None, {"DR_CONFIG": str(file)}).path == file
    monkeypatch.chdir(file.parent)
    assert load_settings(None, {}).path == file


def test_nothing_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DrError) as caught:
        load_settings(None, {})
    assert "dr init" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("scope: lab", "scope: prod", 3, "scope: 'prod' is not accepted; write for example lab, staging or production"),
        ("scope: lab\n", "", None, "scope is missing"),
        ("kind: Settings\n", "", 1, "kind: is missing"),
        ("apiVersion: dr/v1", "apiVersion: dr/v2", 1, "apiVersion: 'dr/v2' is not accepted"),
        ("control: gs://energent-dr-control", "control: s3://x", 4, "control: 's3://x' is not accepted"),
        ("caFile", "cafile", 11, "cafile: is not a known key"),
        ("  cluster:", "  clutser:", 6, "vaults.clutser.url: is not a known key"),
        ("velero: {namespace: velero", "velero: {namespace: 7", 12, "velero.namespace: must be text (quote it)"),
        ("gs://energent-vault-appdata", "gs://energent-vault-cluster", 7, "is vaults.cluster already"),
        ("gs://energent-vault-appdata", "gs://energent-dr-control", 7, "is control already"),
        ("{url: gs://energent-vault-appdata, ", "{", None, "vaults.appdata.url is missing"),
        ("caFile: pki/ca.pem", "caFile: [a]", 11, "caFile: must be text"),
    ],
)
def test_faults_name_file_line_and_field(file: Path, old: str, new: str, line: int | None, said: str) -> None:
    assert old in LAB
    message = refusal(file, LAB.replace(old, new, 1))
    assert said in message
    assert message.startswith(f"{file}:{line}: " if line else f"{file}: "), message


def test_a_fault_of_the_environment_names_the_variable(file: Path) -> None:
    assert refusal(file, LAB, {"DR_SCOPE": "moon"}).startswith("DR_SCOPE: 'moon' is not accepted")


def test_a_component_without_a_vault_is_named(file: Path) -> None:
    with pytest.raises(DrError, match=r"vaults\.config: no vault is declared"):
        load_settings(file, {}).vault("config")


def test_the_template_loads(tmp_path: Path) -> None:
    path = tmp_path / "dr.yaml"
    path.write_text(settings_template())
    settings = load_settings(path, {})
    assert isinstance(settings, Settings)
    assert settings.strategy == tmp_path / "strategy.yaml"
    jsonschema.validate(yaml.safe_load(settings_template()), json_schema())


def test_the_shipped_schema_is_generated_and_agrees(file: Path) -> None:
    shipped = json.loads(resources.files("dr").joinpath("schemas/settings.json").read_text())
    assert shipped == json_schema(), "write it anew from dr.settings.keys.json_schema()"
    jsonschema.validate(yaml.safe_load(LAB), shipped)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(LAB.replace("caFile", "cafile")), shipped)
