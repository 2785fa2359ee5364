"""Who gives an order, for the record: the person as far as the machine knows, and the identity that acts."""

from __future__ import annotations

import getpass
import json
import socket
from pathlib import Path

from dr.app.core import App


def who(app: App) -> str:
    """`alice@laptop as capture@energent-backup.iam.gserviceaccount.com`; the role where no key file names an identity."""
    return f"{_person()}@{socket.gethostname()} as {_identity(getattr(app.settings.credentials, app.role), app.role)}"


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's uid without a name
        return "unknown"


def _identity(key: Path | None, role: str) -> str:
    try:
        return str(json.loads(key.read_text())["client_email"]) if key else role
    except (OSError, ValueError, KeyError, TypeError):
        return role
