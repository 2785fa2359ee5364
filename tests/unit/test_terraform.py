"""The Terraform example: it parses, says nothing that the provider does not know, and grants exactly what dr's own table does.

No provider can be had here, so nothing was planned against one: names and required arguments are checked against its published
types (terraform_schema.json says which version), the expressions are evaluated by terraform itself where it is installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hcl2
import pytest

from dr.plan.permissions import GRANTS, IDENTITIES, RESTORE, SPARED, Where

DIRECTORY = Path(__file__).parents[2] / "schedules" / "terraform"
FILES = sorted(DIRECTORY.glob("*.tf"))
SCHEMA = json.loads(Path(__file__).with_name("terraform_schema.json").read_text())["kinds"]
META = {"for_each", "count", "depends_on", "provider", "lifecycle", "dynamic", "__is_block__", "__comments__"}
TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(TERRAFORM is None, reason="terraform is not installed")
Block = dict[str, Any]


def parsed(path: Path) -> Block:
    with path.open() as file:
        return dict(hcl2.load(file))


def plain(text: str) -> str:
    return text.strip('"')


def resources(section: str = "resource") -> Iterator[tuple[str, str, Block]]:
    """(kind, name, body) of every resource or data source."""
    for path in FILES:
        for entry in parsed(path).get(section, ()):
            for kind, named in entry.items():
                if kind != "__is_block__":
                    yield from (
                        (plain(kind), plain(name), body) for name, body in named.items() if name != "__is_block__"
                    )


RESOURCES = {f"{kind}.{name}": body for kind, name, body in resources()}
DATA = {f"data.{kind}.{name}": body for kind, name, body in resources("data")}
EVERYTHING = {**RESOURCES, **DATA}


def kind_of(address: str) -> str:
    return address.rpartition(".")[0]


def faults(body: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> Iterator[str]:
    """Arguments that the provider does not know, and required ones that are missing."""
    given = {name: value for name, value in body.items() if name not in META}
    for block in body.get("dynamic", ()):
        given |= {plain(name): [inner["content"][0]] for name, inner in block.items() if name != "__is_block__"}
    for name, value in given.items():
        known = schema.get(name)
        if known is None:
            yield f"{where} has no {name}"
        elif isinstance(known, dict):
            for inner in value:
                yield from faults(inner, known["block"], f"{where}.{name}")
    required = {
        name for name, known in schema.items() if (known if isinstance(known, str) else known["is"]) == "required"
    }
    yield from (f"{where} lacks {name}" for name in required - set(given))


@pytest.mark.parametrize("address", EVERYTHING)
def test_the_provider_knows_every_argument_and_misses_none(address: str) -> None:
    assert list(faults(EVERYTHING[address], SCHEMA[kind_of(address)]["arguments"], address)) == []


def test_what_is_referred_to_exists_and_is_exported() -> None:
    text = "\n".join(path.read_text() for path in FILES)
    found = re.findall(r"(?<![\w\"/])((?:data\.)?google_\w+\.\w+)(?:\[[^\]]+\])?(?:\.(\w+))?", text)
    assert len(found) > 20
    for address, attribute in found:
        schema = SCHEMA[kind_of(address)]
        assert address in EVERYTHING, address
        assert not attribute or attribute in (*schema["exports"], *schema["arguments"]), f"{address}.{attribute}"


def test_variables_and_locals_that_are_used_are_declared() -> None:
    text = "\n".join(path.read_text() for path in FILES)
    sections = [parsed(path) for path in FILES]
    variables = {plain(name) for one in sections for entry in one.get("variable", ()) for name in entry}
    places = {name for one in sections for entry in one.get("locals", ()) for name in entry}
    assert set(re.findall(r"\bvar\.(\w+)", text)) <= variables
    assert set(re.findall(r"\blocal\.(\w+)", text)) <= places


# --- rights ----------------------------------------------------------------------------------------------------------


def test_the_permissions_are_the_table_of_dr() -> None:
    table = json.loads((DIRECTORY / "permissions.json").read_text())
    wanted = {one: {g.where.value: list(g.permissions) for g in GRANTS if g.identity == one} for one in IDENTITIES}
    assert table == {"identities": wanted, "spared": list(SPARED)}, "`make docs` writes it anew"


def test_every_kind_of_place_has_its_binding() -> None:
    text = (DIRECTORY / "identities.tf").read_text()
    bound = set(re.findall(r'grant\.where == "(\w+)"', text))
    assert bound == {grant.where.value for grant in GRANTS} == {where.value for where in Where}


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Block:
    """The locals, as terraform computes them; they need no provider."""
    home = tmp_path_factory.mktemp("terraform")
    for name in ("variables.tf", "permissions.json"):
        shutil.copy(DIRECTORY / name, home)
    parts = [re.findall(r"^locals \{\n.*?^\}\n", path.read_text(), re.S | re.M) for path in FILES]
    values = "\n".join(
        f"    {name} = local.{name}" for name in ("grants", "sparing", "vault_grants", "key_grants", "protected")
    )
    output = f'output "all" {{\n  value = {{\n{values}\n  }}\n}}\n'
    (home / "main.tf").write_text("".join(block for part in parts for block in part) + output)
    variables = ("-var", "backup_project=backup", "-var", "protected_project=protected")
    run_terraform(home, "init")
    run_terraform(home, "apply", "-auto-approve", *variables)
    return dict(json.loads(run_terraform(home, "output", "-json", "all")))


def run_terraform(home: Path, *arguments: str) -> str:
    argv = [str(TERRAFORM), arguments[0], "-no-color", *arguments[1:]]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(home), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
    done = subprocess.run(argv, cwd=home, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_terraform
def test_roles_hold_exactly_the_granted_permissions(evaluated: Block) -> None:
    for grant in GRANTS:
        role = evaluated["grants"].pop(f"{grant.identity}_{grant.where}")
        spared = set(SPARED) if grant.where is Where.DATABASE else set()
        assert set(role["permissions"]) == set(grant.permissions) - spared
        assert (role["identity"], role["where"]) == (grant.identity, grant.where)
    assert evaluated["grants"] == {}


@needs_terraform
def test_the_protected_databases_are_spared_by_a_condition(evaluated: Block) -> None:
    assert {name: set(names) for name, names in evaluated["sparing"].items()} == {RESTORE: set(SPARED)}
    assert evaluated["protected"] == ["projects/protected/databases/energent-metadata-production"]
    assert "condition" in RESOURCES["google_project_iam_member.spared"]


@needs_terraform
def test_every_vault_and_both_keys_are_bound(evaluated: Block) -> None:
    vaults = {(one["identity"], one["component"]) for one in evaluated["vault_grants"].values()}
    assert vaults == {(who, row) for who in IDENTITIES for row in ("cluster", "appdata", "config", "audit")}
    assert {one["location"] for one in evaluated["key_grants"].values()} == {"primary", "secondary"}


@needs_terraform
def test_the_files_are_formatted() -> None:
    run_terraform(DIRECTORY, "fmt", "-check", "-recursive", ".")


# --- what must not be forgotten --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["vault", "control"])
def test_repositories_can_be_locked_are_versioned_encrypted_and_not_destroyed(name: str) -> None:
    bucket = RESOURCES[f"google_storage_bucket.{name}"]
    assert bucket["enable_object_retention"] is True
    assert bucket["uniform_bucket_level_access"] is True
    assert bucket["versioning"][0]["enabled"] is True
    assert bucket["lifecycle"][0]["prevent_destroy"] is True
    assert "google_kms_crypto_key" in bucket["encryption"][0]["default_kms_key_name"]
    assert bucket["location"] == "${var.vault_location}"


def test_nobody_holds_a_key_file_and_the_subscription_does_not_expire() -> None:
    assert not [address for address in RESOURCES if "service_account_key" in address]
    assert plain(RESOURCES["google_pubsub_subscription.audit"]["expiration_policy"][0]["ttl"]) == ""
    assert set(IDENTITIES) == {"capture", "restore", "prune"}
