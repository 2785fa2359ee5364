"""The keys that a lab starts with."""

from __future__ import annotations

from lab.state import PROJECT, REGION, VAULT_REGION


def key_name(location: str, key: str) -> str:
    return f"projects/{PROJECT}/locations/{location}/keyRings/dr/cryptoKeys/{key}"


CONFIG_KEYS = (key_name(REGION, "config"), key_name(VAULT_REGION, "config"))
"""What Secrets are sealed under: primary and secondary."""
EVIDENCE_KEY = key_name(VAULT_REGION, "evidence")
"""Signs; EC P-256."""
