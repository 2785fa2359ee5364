"""Identities of the lab: genuine service-account keys, tokens, and who may do what on which resource.

Every lab service shares one `iam.json`; a change on disk counts at once, so a test can grant and revoke while
services run. The policy is an ordered list of rules and the last one that matches decides: a grant appends an
allowance, a revocation a refusal, so "take one permission out of a wildcard" needs no arithmetic on wildcards.
"""

import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt as google_jwt

GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # the audience google-auth puts in every assertion
TOKEN_PREFIX = "ya29.lab."
MAX_CACHED_TOKENS = 4096


class Denied(Exception):
    """Authenticated, but not allowed (REST 403, gRPC PERMISSION_DENIED)."""

    def __init__(self, name: str, permission: str, resource: str) -> None:
        self.name, self.permission, self.resource = name, permission, resource
        super().__init__(f"{name} does not have {permission} access to {resource}.")


class Unauthenticated(Exception):
    """No identity, or one that cannot be believed (REST 401, gRPC UNAUTHENTICATED)."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the policy; `allow` False refuses."""

    name: str
    permission: str
    resource: str
    allow: bool

    def matches(self, name: str, permission: str, resource: str) -> bool:
        """Whether this rule speaks about `permission` on `resource` for `name`."""
        return (
            self.name == name and _covers_permission(self.permission, permission) and _covers(self.resource, resource)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """What `iam.json` holds."""

    project: str
    token_uri: str
    secret: str
    public_keys: Mapping[str, str]
    rules: tuple[Rule, ...] = ()

    def email(self, name: str) -> str:
        """The service account's address."""
        return f"{name}@{self.project}.iam.gserviceaccount.com"

    def dump(self) -> str:
        """JSON as stored."""
        rules = [[rule.name, rule.permission, rule.resource, rule.allow] for rule in self.rules]
        fields = {"project": self.project, "tokenUri": self.token_uri, "secret": self.secret}
        return json.dumps({**fields, "publicKeys": dict(self.public_keys), "rules": rules}, indent=1)


def load_policy(text: str) -> Policy:
    """The reverse of `Policy.dump`."""
    raw = json.loads(text)
    rules = tuple(Rule(*rule) for rule in raw["rules"])
    return Policy(raw["project"], raw["tokenUri"], raw["secret"], raw["publicKeys"], rules)


@dataclass(slots=True)
class Iam:
    """Identities and their permissions, in `<directory>/iam.json` and `<directory>/keys/<name>.json`."""

    directory: Path
    _path: str = ""
    _policy: Policy | None = None
    _stamp: tuple[int, int, int] = (0, 0, 0)
    _known: dict[str, tuple[str, float]] = field(default_factory=dict)
    _answers: dict[tuple[str, str, str], bool] = field(default_factory=dict)

    @classmethod
    def create(cls, directory: Path, project: str, token_uri: str, names: Sequence[str]) -> "Iam":
        """Make the identities; nobody may do anything yet."""
        (directory / "keys").mkdir(parents=True, exist_ok=True)
        public = {name: _make_key(directory, project, token_uri, name) for name in names}
        iam = cls(directory)
        iam._store(Policy(project, token_uri, secrets.token_hex(32), public))
        return iam

    @classmethod
    def open(cls, directory: Path) -> "Iam":
        """Open what `create` made; FileNotFoundError when there is nothing."""
        iam = cls(directory)
        iam._current()
        return iam

    @property
    def project(self) -> str:
        """The project id."""
        return self._current().project

    @property
    def names(self) -> tuple[str, ...]:
        """All identities."""
        return tuple(self._current().public_keys)

    def email(self, name: str) -> str:
        """The service account's address."""
        return self._current().email(name)

    def key_file(self, name: str) -> Path:
        """The service-account key file (JSON) of an identity."""
        return self.directory / "keys" / f"{name}.json"

    def retarget(self, token_uri: str) -> None:
        """Point every key file at another token server (its port may be known only once it listens)."""
        with self._locked():
            policy = self._current()
            for name in policy.public_keys:
                path = self.key_file(name)
                _write(path, json.dumps({**json.loads(path.read_text()), "token_uri": token_uri}, indent=2))
            self._store(Policy(policy.project, token_uri, policy.secret, policy.public_keys, policy.rules))

    def grant(self, name: str, permissions: Sequence[str], resource: str) -> None:
        """Allow `permissions` ("storage.objects.get", "storage.objects.*", "*") on `resource` and all below it."""
        self._append([Rule(name, permission, resource, True) for permission in permissions])

    def revoke(self, name: str, permission: str, resource: str = "*") -> None:
        """Refuse `permission` on `resource` and all below it, wildcard grants included, until granted again."""
        self._append([Rule(name, permission, resource, False)])

    def allowed(self, name: str, permission: str, resource: str) -> bool:
        """Whether `name` may; the last rule that matches decides."""
        policy, question = self._current(), (name, permission, resource)
        if question not in self._answers:
            matching = (rule.allow for rule in reversed(policy.rules) if rule.matches(*question))
            if len(self._answers) > MAX_CACHED_TOKENS:
                self._answers.clear()
            self._answers[question] = next(matching, False)
        return self._answers[question]

    def require(self, name: str, permission: str, resource: str) -> None:
        """Raise Denied unless `allowed`."""
        if not self.allowed(name, permission, resource):
            raise Denied(self.email(name), permission, resource)

    def token(self, name: str, lifetime_s: int = 3600) -> str:
        """An access token of `name`, as the token server hands out."""
        policy = self._current()
        if name not in policy.public_keys:
            raise Unauthenticated(f"no service account is called {name}")
        claims = json.dumps({"name": name, "exp": int(time.time()) + lifetime_s, "nonce": secrets.token_hex(4)})
        body = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
        return f"{TOKEN_PREFIX}{body}.{_sign(policy.secret, body)}"

    def identify(self, authorization: str | None) -> str:
        """The name behind an Authorization header; Unauthenticated when it is absent, forged or expired."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Anonymous caller: the request carries no bearer token.")
        policy = self._current()
        if token not in self._known:
            if len(self._known) > MAX_CACHED_TOKENS:
                self._known.clear()
            self._known[token] = _access_token(policy, token) if token.startswith(TOKEN_PREFIX) else _jwt(policy, token)
        name, expires = self._known[token]
        if expires < time.time():
            raise Unauthenticated("Invalid Credentials: the token has expired.")
        return name

    def assertion(self, token: str) -> str:
        """The name that signed a JWT bearer assertion meant for the token server; Unauthenticated otherwise."""
        policy = self._current()
        return _verified(policy, token, (GOOGLE_TOKEN_URI, policy.token_uri))[0]

    def _append(self, rules: Sequence[Rule]) -> None:
        with self._locked():
            old = self._current()
            unknown = {rule.name for rule in rules} - set(old.public_keys)
            if unknown:
                raise KeyError(f"no service account is called {sorted(unknown)[0]}")
            kept = (*(rule for rule in old.rules if rule not in rules), *rules)
            self._store(Policy(old.project, old.token_uri, old.secret, old.public_keys, kept))

    def _current(self) -> Policy:
        path = self._path = self._path or str(self.directory / "iam.json")
        status = os.stat(path)  # on every request's way: no Path is built here
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if self._policy is None or stamp != self._stamp:
            self._policy, self._stamp = load_policy(Path(path).read_text()), stamp
            self._known, self._answers = {}, {}
        return self._policy

    def _store(self, policy: Policy) -> None:
        _write(self.directory / "iam.json", policy.dump())
        self._policy = None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Two processes that grant at once must not lose each other's rules."""
        descriptor = os.open(self.directory / "iam.lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _covers_permission(granted: str, asked: str) -> bool:
    return granted in ("*", asked) or (granted.endswith(".*") and asked.startswith(granted[:-1]))


def _covers(granted: str, asked: str) -> bool:
    return granted in ("*", asked) or asked.startswith(granted.rstrip("/") + "/")


def _sign(secret: str, body: str) -> str:
    return hmac.new(secret.encode(), body.encode(), hashlib.sha256).hexdigest()


def _access_token(policy: Policy, token: str) -> tuple[str, float]:
    body, _, signature = token.removeprefix(TOKEN_PREFIX).rpartition(".")
    if not hmac.compare_digest(signature, _sign(policy.secret, body)):
        raise Unauthenticated("Invalid Credentials: the access token was not issued here.")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return str(claims["name"]), float(claims["exp"])


def _jwt(policy: Policy, token: str) -> tuple[str, float]:
    name, expires, audience = _verified(policy, token, None)
    if audience in (GOOGLE_TOKEN_URI, policy.token_uri):
        raise Unauthenticated("Invalid Credentials: this assertion is meant for the token server.")
    return name, expires


def _verified(policy: Policy, token: str, audiences: Sequence[str] | None) -> tuple[str, float, str]:
    """(name, expiry in Unix seconds, audience) of a JWT signed with one of our service accounts' keys."""
    names = {policy.email(name): name for name in policy.public_keys}
    try:
        unverified = google_jwt.decode(token, verify=False)
        name = names[str(unverified["iss"])]
        claims = google_jwt.decode(token, certs=policy.public_keys[name], audience=audiences, clock_skew_in_seconds=30)
    except (ValueError, KeyError) as error:  # MalformedError and InvalidValue of google-auth are ValueErrors
        raise Unauthenticated(f"Invalid Credentials: {error}") from error
    return name, float(claims["exp"]), str(claims.get("aud", ""))


def _make_key(directory: Path, project: str, token_uri: str, name: str) -> str:
    """Write the key file of one service account; its public key (PEM)."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    email = f"{name}@{project}.iam.gserviceaccount.com"
    _write(directory / "keys" / f"{name}.json", json.dumps(_key_document(project, token_uri, email, pem), indent=2))
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return private.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _key_document(project: str, token_uri: str, email: str, pem: str) -> dict[str, str]:
    digest = hashlib.sha256(pem.encode()).hexdigest()
    return {
        "type": "service_account",
        "project_id": project,
        "private_key_id": digest[:40],
        "private_key": pem,
        "client_email": email,
        "client_id": str(int(digest[40:57], 16)).zfill(21),
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }


def _write(path: Path, text: str) -> None:
    """Replace a file in one step, readable by its owner only: services read it while tests write it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    os.replace(temporary, path)
