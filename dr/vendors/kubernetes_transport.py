"""One HTTP request to the API server: TLS and credentials as the `kubernetes` package sets them up, errors translated."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from dr.errors import (
    CONFIGURATION,
    CONFLICT,
    NOT_AUTHORISED,
    NOT_FOUND,
    REJECTED,
    UNAVAILABLE,
    UNREACHABLE,
    DrError,
    ErrorKind,
)
from dr.vendors.kubernetes_objects import KubeObject, Resource, text
from dr.vendors.loading import preload

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"


class Gone(Exception):
    """The resource version asked for is too old (410): list again."""


class Transport:
    """Requests to one cluster; nothing is loaded or contacted before the first. Safe to use from several threads."""

    def __init__(self, kubeconfig: Path | None, context: str, timeout_s: float) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout_s = timeout_s
        self._lock = threading.Lock()

    @cached_property
    def _configuration(self) -> Any:
        return _load(self._kubeconfig, self._context)

    @property
    def host(self) -> str:
        """The API server's URL, as configured."""
        return str(self._configuration.host)

    @cached_property
    def _pool(self) -> Any:
        preload("kubernetes.client")
        from kubernetes.client import ApiClient

        # the package's own pool: it alone knows all of its configuration's TLS and proxy settings
        self._configuration.connection_pool_maxsize = 64
        return ApiClient(self._configuration).rest_client.pool_manager

    def send(
        self,
        method: str,
        path: str,
        verb: str,
        resource: Resource | None,
        *,
        body: KubeObject | None = None,
        content: str = JSON,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        stream: bool = False,
        timeout_s: float | None = None,
        name: str = "",
    ) -> Any:
        preload("urllib3")
        import urllib3

        url = self._configuration.host + path + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": accept, "Content-Type": content, **self._authorization()}
        data = None if body is None else json.dumps(body).encode()
        what = f"{verb} {resource or path}" + (f" {name}" if name else "")
        try:
            response = self._pool.request(
                method, url, body=data, headers=headers, preload_content=not stream, retries=False,
                timeout=urllib3.Timeout(connect=10, read=timeout_s or self._timeout_s),
            )  # fmt: skip
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise DrError(UNREACHABLE, f"cannot {what}: {self._configuration.host} does not answer: {error}") from error
        if response.status >= 300:
            raise failure(response.status, response.data, what)
        return response

    def _authorization(self) -> dict[str, str]:
        """The bearer token, renewed by the package's hook when it is about to expire; client certificates need none."""
        with self._lock:
            token = self._configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
            basic = self._configuration.get_basic_auth_token() if self._configuration.username else None
        found = token or basic
        return {"Authorization": found} if found else {}


def _load(kubeconfig: Path | None, context: str) -> Any:
    preload("kubernetes.client", "kubernetes.config", "urllib3")
    from kubernetes.client import Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config

    configuration = Configuration()
    try:
        if kubeconfig is None and not context:
            try:
                load_incluster_config(client_configuration=configuration)
                return configuration
            except ConfigException:
                pass  # not in a Pod: the default kubeconfig is next
        file = None if kubeconfig is None else str(kubeconfig)
        load_kube_config(config_file=file, context=context or None, client_configuration=configuration)
    except (ConfigException, OSError) as error:
        where = kubeconfig or "the default kubeconfig"
        raise DrError(CONFIGURATION, f"no way to reach Kubernetes: {where}: {error}") from error
    return configuration


_ALWAYS_THERE = ("system:basic-user", "system:discovery")
"""Roles that every API server makes anew when they are missing: one that misses them has not read its roles yet."""


def failure(status: int, body: bytes, what: str) -> DrError | Gone:
    """The catalogue's error for an answer of the API server."""
    try:
        said = text(json.loads(body), "message")
    except ValueError:
        said = body[:200].decode("utf-8", "replace")
    if status == 410:
        return Gone(said)
    if status == 401:
        return DrError(NOT_AUTHORISED, f"not authenticated to {what}: {said or 'credentials refused'}")
    if status == 403 and any(f'"{role}" not found' in said for role in _ALWAYS_THERE):
        return DrError(UNAVAILABLE, f"cannot {what}: the API server has just started and does not know its roles yet")
    if status == 403:
        return DrError(NOT_AUTHORISED, f"not allowed to {what}: {said}")
    return DrError(_kind(status), f"cannot {what}: {said or f'HTTP {status}'}")


def _kind(status: int) -> ErrorKind:
    known = {404: NOT_FOUND, 409: CONFLICT, 429: UNAVAILABLE}
    return known.get(status, UNAVAILABLE if status >= 500 else REJECTED)


def broken() -> tuple[type[Exception], ...]:
    preload("urllib3")
    import urllib3

    return (urllib3.exceptions.HTTPError, OSError, ValueError)
