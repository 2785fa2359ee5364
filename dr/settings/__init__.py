"""How `dr` reaches its stores and sources: read once, frozen. Flags over environment over file. No pydantic: this is on every path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from pathlib import Path

from dr.errors import CONFIGURATION, DrError
from dr.model.strategy import Place
from dr.model.timeline import parse_duration
from dr.settings.keys import KEYS, VAULT, Key, environment_name, key_of, settings_template
from dr.strategy.yamlfile import Step, YamlFile, dotted, read_yaml_path

__all__ = [
    "Endpoints",
    "Identities",
    "KeySettings",
    "LeaseSettings",
    "Settings",
    "TellSettings",
    "VaultSettings",
    "VeleroSettings",
    "load_settings",
    "settings_template",
]
DEFAULT_NAME = "dr.yaml"


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Where a component's points are kept."""

    url: str
    project: str = ""
    location: str = ""

    @property
    def place(self) -> Place:
        return Place(self.project, self.location.lower())


@dataclass(frozen=True, slots=True)
class Identities:
    """A file for each identity; None: whatever the environment offers."""

    capture: Path | None = None
    restore: Path | None = None
    prune: Path | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Empty: Google's."""

    storage: str = ""
    firestore: str = ""
    pubsub: str = ""
    kms: str = ""
    logging: str = ""
    resourcemanager: str = ""


@dataclass(frozen=True, slots=True)
class VeleroSettings:
    """Velero's namespace and the BackupStorageLocation that backups go to."""

    namespace: str = "velero"
    storage_location: str = "default"


@dataclass(frozen=True, slots=True)
class KeySettings:
    """Key encryption keys: `gcp-kms://projects/.../cryptoKeys/K` or `file:///path`; empty: none. The secondary lives in
    another region, so that what is sealed opens without the first."""

    primary: str = ""
    secondary: str = ""
    evidence: str = ""
    """What drill reports are signed with: a version of a Cloud KMS key, or `file:///path` of a private key; empty: unsigned."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """The Lease that replicas of the service compete for; without a name there is no election."""

    name: str = ""
    namespace: str = "dr-system"
    duration: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class TellSettings:
    """Who is told. Empty: nobody."""

    webhook: str = ""
    slack: str = ""
    deadman_url: str = ""
    """Called while all is well: its absence is the alarm."""
    deadman_every: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """All paths are absolute."""

    scope: str
    """`lab`, `staging` or `production`: stands in every report."""
    control: str
    """URL of the control repository."""
    vaults: Mapping[str, VaultSettings]
    cache_dir: Path
    strategy: Path | None = None
    """None: the table that ships with dr."""
    credentials: Identities = field(default_factory=Identities)
    """Service account keys; None: Application Default Credentials."""
    kubernetes: Identities = field(default_factory=Identities)
    """kubeconfig files; None: in-cluster, then ~/.kube/config."""
    endpoints: Endpoints = field(default_factory=Endpoints)
    ca_file: Path | None = None
    velero: VeleroSettings = field(default_factory=VeleroSettings)
    keys: KeySettings = field(default_factory=KeySettings)
    lease: LeaseSettings = field(default_factory=LeaseSettings)
    tell: TellSettings = field(default_factory=TellSettings)
    serve_address: str = ""
    """`host:port` of metrics, health and the status page; empty: not served."""
    path: Path | None = None
    """The file that was read, if any."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Every value as it was given, by dotted key, from wherever it came; places made absolute."""

    def vault(self, component: str) -> VaultSettings:
        """Raises DrError CONFIGURATION when the component has none."""
        found = self.vaults.get(component)
        if found is None:
            raise DrError(CONFIGURATION, f"{self.path or 'settings'}: vaults.{component}: no vault is declared")
        return found

    def places(self) -> dict[str, Place]:
        """Where each component's vault lives."""
        return {component: vault.place for component, vault in self.vaults.items()}


@dataclass(frozen=True, slots=True)
class _Value:
    text: str
    origin: str
    base: Path
    """What a relative path is relative to: the file's folder, or where the command was typed."""


def load_settings(
    path: Path | None, environ: Mapping[str, str], flags: Mapping[str, str | None] | None = None
) -> Settings:
    """Settings from `path` (else DR_CONFIG, else ./dr.yaml if it exists), the environment and `flags`.

    `flags` are dotted keys as in the file (`control`, `vaults.cluster.url`); a None is no flag. Raises DrError
    CONFIGURATION, `file:line: field: sentence` or `DR_NAME: sentence`.
    """
    chosen = path or _from_environment(environ) or _beside()
    values: dict[str, _Value] = dict(_file_values(chosen)) if chosen else {}
    values |= _environment_values(environ)
    values |= {name: _Value(text, f"--{name}", Path.cwd()) for name, text in (flags or {}).items() if text is not None}
    return _build(values, chosen)


def _from_environment(environ: Mapping[str, str]) -> Path | None:
    return Path(environ["DR_CONFIG"]) if environ.get("DR_CONFIG") else None


def _beside() -> Path | None:
    return Path(DEFAULT_NAME) if Path(DEFAULT_NAME).exists() else None


def _file_values(path: Path) -> Iterator[tuple[str, _Value]]:
    document, _ = read_yaml_path(path)
    if not isinstance(document.data, dict):
        raise document.fault((), "must be a mapping of keys")
    for name in ("apiVersion", "kind"):
        if name not in document.data:
            raise document.fault((name,), "is missing")
    for steps, value in _leaves(document, document.data, ()):
        name = ".".join(map(str, steps))
        origin = f"{document.name}:{document.line(steps)}: {dotted(steps)}"
        yield name, _checked(_key(document, steps), _Value(value, origin, path.absolute().parent))


def _leaves(document: YamlFile, value: object, steps: tuple[Step, ...]) -> Iterator[tuple[tuple[Step, ...], str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(document, inner, (*steps, str(key)))
    elif isinstance(value, str):
        yield steps, value
    elif value is not None:
        _key(document, steps)
        raise document.fault(steps, "must be text (quote it)")


def _key(document: YamlFile, steps: tuple[Step, ...]) -> Key:
    key = key_of(".".join(map(str, steps)))
    if key is None:
        raise document.fault(steps, "is not a known key")
    return key


def _environment_values(environ: Mapping[str, str]) -> dict[str, _Value]:
    names = [name for name in KEYS if VAULT not in name]
    names += [name.replace(VAULT, component) for name in KEYS if VAULT in name for component in _components(environ)]
    found = {}
    for name in names:
        variable = environment_name(name)
        key = key_of(name)
        if key and key.settable and environ.get(variable):
            found[name] = _checked(key, _Value(environ[variable], variable, Path.cwd()))
    return found


def _components(environ: Mapping[str, str]) -> list[str]:
    """Components whose vault the environment names: DR_VAULTS_CLUSTER_URL."""
    return [name.split("_")[2].lower() for name in environ if name.startswith("DR_VAULTS_") and name.endswith("_URL")]


def _checked(key: Key, value: _Value) -> _Value:
    fault = key.fault(value.text)
    if fault:
        raise DrError(CONFIGURATION, f"{value.origin}: {fault}")
    return value


# --- to the frozen settings -----------------------------------------------------------------------------------------


def _build(values: Mapping[str, _Value], path: Path | None) -> Settings:
    where = str(path) if path else "settings"
    for name in ("scope", "control"):
        if name not in values:
            hint = "" if path else f"run `dr init`, or set DR_CONFIG or {environment_name(name)}"
            raise DrError(CONFIGURATION, f"{where}: {name} is missing", hint=hint)
    return Settings(
        scope=_text(values, "scope"),
        control=_url(values["control"]),
        vaults=_vaults(values, where),
        cache_dir=_path(values, "cacheDir") or Path.home() / ".cache" / "dr",
        strategy=_path(values, "strategy"),
        credentials=_identities(values, "credentials"),
        kubernetes=_identities(values, "kubernetes"),
        endpoints=Endpoints(**{entry.name: _text(values, f"endpoints.{entry.name}") for entry in fields(Endpoints)}),
        ca_file=_path(values, "caFile"),
        velero=VeleroSettings(
            _text(values, "velero.namespace") or VeleroSettings().namespace,
            _text(values, "velero.storageLocation") or VeleroSettings().storage_location,
        ),
        keys=KeySettings(*(_key_url(values, f"keys.{entry.name}") for entry in fields(KeySettings))),
        lease=LeaseSettings(
            _text(values, "lease.name"),
            _text(values, "lease.namespace") or LeaseSettings().namespace,
            _span(values, "lease.duration", LeaseSettings().duration),
        ),
        tell=TellSettings(
            _text(values, "notifications.webhook"),
            _text(values, "notifications.slack"),
            _text(values, "deadman.url"),
            _span(values, "deadman.every", TellSettings().deadman_every),
        ),
        serve_address=_text(values, "serve.address"),
        path=path.absolute() if path else None,
        given={name: _url(value) for name, value in values.items()},
    )


def _identities(values: Mapping[str, _Value], group: str) -> Identities:
    return Identities(**{entry.name: _path(values, f"{group}.{entry.name}") for entry in fields(Identities)})


def _key_url(values: Mapping[str, _Value], name: str) -> str:
    return _url(values[name]) if name in values else ""


def _span(values: Mapping[str, _Value], name: str, default: timedelta) -> timedelta:
    return parse_duration(values[name].text) if name in values else default


def _vaults(values: Mapping[str, _Value], where: str) -> dict[str, VaultSettings]:
    components = dict.fromkeys(name.split(".")[1] for name in values if name.startswith("vaults."))
    found: dict[str, VaultSettings] = {}
    used: dict[str, str] = {_url(values["control"]): "control"} if "control" in values else {}
    for component in components:
        stem = f"vaults.{component}"
        if f"{stem}.url" not in values:
            raise DrError(CONFIGURATION, f"{where}: {stem}.url is missing")
        url = _url(values[f"{stem}.url"])
        if url in used:
            raise DrError(CONFIGURATION, f"{values[f'{stem}.url'].origin}: {url} is {used[url]} already")
        used[url] = stem
        found[component] = VaultSettings(url, _text(values, f"{stem}.project"), _text(values, f"{stem}.location"))
    return found


def _text(values: Mapping[str, _Value], name: str) -> str:
    return values[name].text if name in values else ""


def _path(values: Mapping[str, _Value], name: str) -> Path | None:
    value = values.get(name)
    return value.base / Path(value.text).expanduser() if value and value.text else None


def _url(value: _Value) -> str:
    """Without a trailing slash; `file:` URLs made absolute (`file://./x` is relative to the file that says so)."""
    text = value.text.rstrip("/")
    rest = text.removeprefix("file://")
    if rest == text or rest.startswith("/"):
        return text
    return f"file://{(value.base / rest).resolve()}"
