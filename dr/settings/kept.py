"""The settings as the control repository keeps them: what another machine needs, without what belongs to this one and
without what is secret."""

from __future__ import annotations

import yaml

from dr.settings import Settings

_ENVELOPE = {"apiVersion": "dr/v1", "kind": "Settings"}
_OWN = ("credentials.", "kubernetes.", "caFile", "cacheDir", "strategy", "serve.")
"""Paths and addresses of one machine."""
_SECRET = ("notifications.", "deadman.")
"""Whoever knows these addresses can write to them."""
HEADER = """\
# How dr reaches its stores and sources, as its captures last used it (written by `dr init --from`).
# Left out, because they belong to one machine or are secret: credentials, kubernetes, caFile, cacheDir, serve,
# notifications, deadman. Every key can be set in the environment: DR_CREDENTIALS_RESTORE, DR_KUBERNETES_RESTORE...
"""


def kept_settings(settings: Settings) -> bytes:
    """A settings file, wherever the values came from; the same settings always give the same bytes."""
    document: dict[str, object] = {**_ENVELOPE, "strategy": "strategy.yaml"}
    for name, text in sorted(settings.given.items()):
        if not name.startswith((*_OWN, *_SECRET, *_ENVELOPE)):
            _set(document, name.split("."), text)
    return (HEADER + yaml.safe_dump(document, sort_keys=False)).encode()


def _set(document: dict[str, object], path: list[str], text: str) -> None:
    *groups, last = path
    for group in groups:
        inner = document.setdefault(group, {})
        assert isinstance(inner, dict)
        document = inner
    document[last] = text
