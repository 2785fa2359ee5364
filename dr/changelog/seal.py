"""Values that only a holder of a key opens: AES-256-GCM under data keys that key encryption keys wrap.

A sealed value carries all that opening needs but the keys themselves: names and wrapped data key of every key encryption
key, nonce, ciphertext. Any one of the keys opens it, so the loss of one region is not the loss of the values.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dr.changelog.sealed import Sealed, read_sealed
from dr.errors import CONFIGURATION, DAMAGED, DrError
from dr.ports import Json, KeyWrapper

WRAP_CONTEXT = b"dr data key 1"
"""What every wrapped data key is bound to: a wrapped key of another purpose does not open."""
KEY_BYTES, NONCE_BYTES = 32, 12
KEY_SECONDS = 3600.0
"""After so long a process takes a new data key."""
KEY_USES = 1 << 20
"""Random 96-bit nonces stay apart for far longer; a key that leaks should open little."""
DEGRADED_SECONDS = 60.0
"""A data key that not every key encryption key could wrap serves so long, and one that failed is asked last so long."""
MOST_OPENED = 4096
"""Unwrapped data keys kept while opening."""


@dataclass(frozen=True, slots=True)
class KeyTrouble:
    """A key encryption key could not be used and another one served instead. `doing` is `wrap` or `unwrap`."""

    key: str
    doing: str
    error: DrError

    def __str__(self) -> str:
        return f"key {self.key} could not {self.doing} a data key: {self.error.message}"


Told = Callable[[KeyTrouble], None]


def silent(_trouble: KeyTrouble) -> None:
    """A listener for those who want none."""


@dataclass(slots=True)
class _DataKey:
    key: bytes
    wrapped: Mapping[str, bytes]
    fresh_until: float
    whole: bool
    uses: int = 0


class Sealer:
    """Seals under every wrapper, opens with any one of them, the first that answers. Safe to use from several threads.

    A wrapper that is temporarily out of reach does not stop the sealing: the old data key serves on, else a new one is
    wrapped by the others for a minute only; `told` hears of it. `monotonic` is in seconds.
    """

    def __init__(
        self, wrappers: tuple[KeyWrapper, ...], told: Told = silent, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wrappers, self._told, self._monotonic = wrappers, told, monotonic
        self._lock = threading.Lock()
        self._current: _DataKey | None = None
        self._opened: OrderedDict[bytes, bytes] = OrderedDict()
        self._avoid: dict[str, float] = {}

    def seal(self, plain: bytes, context: bytes) -> Json:
        """Encrypt, bound to `context` (what the value is of): under another context it does not open. Raises DrError
        CONFIGURATION without keys, NOT_AUTHORISED, NOT_FOUND, REJECTED; UNREACHABLE when no key answers."""
        with self._lock:
            data_key = self._data_key()
            data_key.uses += 1
        nonce = os.urandom(NONCE_BYTES)
        ciphertext = AESGCM(data_key.key).encrypt(nonce, plain, _bound(context))
        return Sealed(data_key.wrapped, nonce, ciphertext).document()

    def open(self, sealed: Json, context: bytes) -> bytes:
        """Decrypt. Raises DrError DAMAGED (not what was sealed, or for another context), NEWER_FORMAT, CONFIGURATION
        (sealed under other keys), NOT_AUTHORISED, UNREACHABLE."""
        value = read_sealed(sealed)
        with self._lock:
            key = self._unwrapped(value)
        try:
            return AESGCM(key).decrypt(value.nonce, value.ciphertext, _bound(context))
        except InvalidTag:
            raise DrError(DAMAGED, "a sealed value is damaged, or belongs to something else") from None

    def seal_again(self, sealed: Json, plain: bytes, context: bytes) -> Json:
        """Another value under the data key of one that stands: whoever may open can do that without any right to encrypt. For
        copies that are meant to be wrong. Raises DrError, as `open`."""
        value = read_sealed(sealed)
        with self._lock:
            key = self._unwrapped(value)
        nonce = os.urandom(NONCE_BYTES)
        return Sealed(value.wrapped, nonce, AESGCM(key).encrypt(nonce, plain, _bound(context))).document()

    # --- data keys for sealing

    def _data_key(self) -> _DataKey:
        held = self._current
        if held is not None and held.uses < KEY_USES and self._monotonic() < held.fresh_until:
            return held
        self._current = self._new_data_key(held if held and held.whole and held.uses < KEY_USES else None)
        return self._current

    def _new_data_key(self, held: _DataKey | None) -> _DataKey:
        """A key that every wrapper wrapped, else `held`, else one that some wrapped."""
        if not self._wrappers:
            hint = "declare keys.primary and keys.secondary in the settings; `dr init --key FILE` makes a local one"
            raise DrError(CONFIGURATION, "no key is declared to seal with", hint=hint)
        key = os.urandom(KEY_BYTES)
        wrapped, failed = self._wrap(key)
        if failed and held is not None:
            held.fresh_until = self._monotonic() + DEGRADED_SECONDS
            return held
        if not wrapped:
            raise failed[-1]
        lives = DEGRADED_SECONDS if failed else KEY_SECONDS
        return _DataKey(key, wrapped, self._monotonic() + lives, not failed)

    def _wrap(self, key: bytes) -> tuple[dict[str, bytes], list[DrError]]:
        """By name, and why others could not for now. What a repetition will not mend is raised: it must be seen."""
        wrapped: dict[str, bytes] = {}
        failed: list[DrError] = []
        for wrapper in self._wrappers:
            try:
                wrapped[wrapper.name] = wrapper.wrap(key, WRAP_CONTEXT)
            except DrError as error:
                if not error.temporary:
                    raise
                failed.append(error)
                self._told(KeyTrouble(wrapper.name, "wrap", error))
        return wrapped, failed

    # --- data keys for opening

    def _unwrapped(self, value: Sealed) -> bytes:
        for wrapped in value.wrapped.values():
            if found := self._opened.get(_fingerprint(wrapped)):
                return found
        key = self._unwrap(value)
        for wrapped in value.wrapped.values():
            self._opened[_fingerprint(wrapped)] = key
        while len(self._opened) > MOST_OPENED:
            self._opened.popitem(last=False)
        return key

    def _unwrap(self, value: Sealed) -> bytes:
        errors: list[DrError] = []
        for wrapper in self._order(value.wrapped):
            try:
                return wrapper.unwrap(value.wrapped[wrapper.name], WRAP_CONTEXT)
            except DrError as error:
                errors.append(error)
                self._avoid[wrapper.name] = self._monotonic() + DEGRADED_SECONDS
                self._told(KeyTrouble(wrapper.name, "unwrap", error))
        raise _telling(errors, value)

    def _order(self, wrapped: Mapping[str, bytes]) -> Iterator[KeyWrapper]:
        """Those that wrapped it; what failed a moment ago comes last, so that a dead region costs one wait and not many."""
        now = self._monotonic()
        mine = [wrapper for wrapper in self._wrappers if wrapper.name in wrapped]
        return iter(sorted(mine, key=lambda wrapper: self._avoid.get(wrapper.name, now) > now))


def _telling(errors: list[DrError], value: Sealed) -> DrError:
    """The one to raise: that a key cannot be asked says more than that another one did not fit."""
    if not errors:
        names = " or ".join(value.wrapped)
        return DrError(
            CONFIGURATION, f"sealed under {names}: no such key is declared", hint="declare it in keys.primary"
        )
    return next((error for error in errors if error.kind is not DAMAGED), errors[0])


def _fingerprint(wrapped: bytes) -> bytes:
    return hashlib.sha256(wrapped).digest()


def _bound(context: bytes) -> bytes:
    return b"dr sealed 1\0" + context
