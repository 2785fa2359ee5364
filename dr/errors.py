"""The error catalogue: every failure that a user can meet has a code, an exit code and a runbook."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of the command line (docs/design.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    PARTIAL = 3
    NOT_AUTHORISED = 4
    LOCKED = 5
    OBJECTIVE_MISSED = 6
    VERIFICATION_FAILED = 7
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class ErrorKind:
    """One entry of the catalogue. `temporary`: the same call may succeed later, so a retry makes sense."""

    code: str
    exit: Exit
    temporary: bool = False

    @property
    def runbook(self) -> str:
        return f"runbooks/errors.md#{self.code}"

    @property
    def page(self) -> str:
        """As `dr runbook show` takes it."""
        return f"errors#{self.code}"


USAGE = ErrorKind("usage", Exit.USAGE)
CONFIGURATION = ErrorKind("configuration", Exit.USAGE)
UNKNOWN_COMPONENT = ErrorKind("unknown-component", Exit.USAGE)
INSTANT_UNREACHABLE = ErrorKind("instant-unreachable", Exit.USAGE)
SKEW_TOO_GREAT = ErrorKind("skew-too-great", Exit.USAGE)
WORLD_MOVED = ErrorKind("world-moved", Exit.FAILED)
TARGET_EXISTS = ErrorKind("target-exists", Exit.USAGE)
TARGET_PROTECTED = ErrorKind("target-protected", Exit.USAGE)
OVER_BUDGET = ErrorKind("over-budget", Exit.USAGE)
NOT_FOUND = ErrorKind("not-found", Exit.FAILED)
UNREACHABLE = ErrorKind("unreachable", Exit.FAILED, temporary=True)
UNAVAILABLE = ErrorKind("unavailable", Exit.FAILED, temporary=True)
TIMED_OUT = ErrorKind("timed-out", Exit.FAILED)
REJECTED = ErrorKind("rejected", Exit.FAILED)
CONFLICT = ErrorKind("conflict", Exit.FAILED)
NOT_AUTHORISED = ErrorKind("not-authorised", Exit.NOT_AUTHORISED)
LOCKED = ErrorKind("locked", Exit.LOCKED)
FENCED = ErrorKind("fenced", Exit.LOCKED)
NEWER_FORMAT = ErrorKind("newer-format", Exit.FAILED)
DAMAGED = ErrorKind("damaged", Exit.VERIFICATION_FAILED)
VERIFICATION_FAILED = ErrorKind("verification-failed", Exit.VERIFICATION_FAILED)
BACKUP_FAILED = ErrorKind("backup-failed", Exit.FAILED)
RESTORE_FAILED = ErrorKind("restore-failed", Exit.FAILED)
NOT_CONTAINED = ErrorKind("not-contained", Exit.VERIFICATION_FAILED)
OBJECTIVE_MISSED = ErrorKind("objective-missed", Exit.OBJECTIVE_MISSED)
RETENTION_REFUSED = ErrorKind("retention-refused", Exit.FAILED)
FROZEN = ErrorKind("frozen", Exit.LOCKED)
TOO_MUCH_AT_ONCE = ErrorKind("too-much-at-once", Exit.FAILED)
LISTING_SHRANK = ErrorKind("listing-shrank", Exit.FAILED)
CLOCK_SKEW = ErrorKind("clock-skew", Exit.FAILED)

CATALOGUE: tuple[ErrorKind, ...] = tuple(value for value in list(globals().values()) if isinstance(value, ErrorKind))


class DrError(Exception):
    """One clear sentence for the user; `kind` decides exit code, retry and runbook; `hint` is the next thing to do."""

    def __init__(self, kind: ErrorKind, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    @property
    def temporary(self) -> bool:
        return self.kind.temporary
