"""Following a Velero backup or restore to a phase that will not change again."""

from __future__ import annotations

import json
from datetime import timedelta

from dr.components.cluster.access import KubeApi
from dr.components.cluster.tarball import gunzip
from dr.errors import BACKUP_FAILED, NOT_FOUND, TIMED_OUT, DrError, ErrorKind
from dr.model.listing import first
from dr.ports import ObjectStore, StepContext
from dr.vendors.kubernetes_objects import KubeObject, Resource, mapping, name_of, number, sequence, text, uid_of

FINAL = frozenset({"Completed", "PartiallyFailed", "Failed", "FailedValidation", "Deleting"})
"""`FinalizingPartiallyFailed` and `WaitingForPluginOperations` are not: Velero goes on from them."""
_SHOWN = 5
"""Messages of Velero shown in one sentence; all of them are in its results file."""


def follow(
    kube: KubeApi,
    resource: Resource,
    namespace: str,
    name: str,
    uid: str,
    deadline: timedelta,
    context: StepContext,
    lost: ErrorKind = BACKUP_FAILED,
) -> KubeObject:
    """The object once its phase is final, whichever it is.

    Raises DrError TIMED_OUT when `deadline` passed, `lost` when the object went away or was replaced.
    """
    last: KubeObject = {}
    watched = kube.watch(
        resource, namespace, fields=f"metadata.name={name}", deadline_s=deadline.total_seconds(), idle_s=5
    )
    for event in watched:
        # None comes after each listing and each quiet spell: then what is there is asked for, because a deletion in a
        # gap of the watch is never reported
        seen = kube.get(resource, name, namespace) if event is None else event.object
        if seen is None or (event is not None and event.type == "DELETED") or uid_of(seen) != uid:
            raise DrError(lost, f"{resource} {name} was deleted or replaced while it was followed")
        last = seen
        _report(last, context)
        if phase_of(last) in FINAL:
            return last
    waited = f"after {deadline.total_seconds():.0f} s"
    raise DrError(TIMED_OUT, f"{resource} {name} is still {phase_of(last) or 'not picked up by Velero'} {waited}")


def given_up(kube: KubeApi, resource: Resource, namespace: str, name: str, error: DrError) -> DrError:
    """`error` of a following that took too long, with what stands in the way: Velero works on one after the other, so one that
    is stuck stops all that come after it. What was given up is left as it is; the next attempt has a name of its own."""
    others = [one for one in kube.list(resource, namespace).items if phase_of(one) == "InProgress"]
    words = ", ".join(f"{name_of(one)} since {text(one, 'status', 'startTimestamp')}" for one in others)
    said = f"; Velero is working on {words}" if words else ""
    hint = f"if it never ends, restart Velero: kubectl -n {namespace} rollout restart deployment/velero"
    return DrError(error.kind, f"{error.message}{said} ({resource} {name})", hint=hint)


def phase_of(obj: KubeObject) -> str:
    return text(obj, "status", "phase")


def _report(obj: KubeObject, context: StepContext) -> None:
    progress = mapping(obj, "status", "progress")
    done = number(progress, "itemsBackedUp") or number(progress, "itemsRestored")
    # after the items volumes are moved: that is progress too
    done += number(obj, "status", "backupItemOperationsCompleted")
    context.progress(done, number(progress, "totalItems") or None, "objects")


def must_be_completed(obj: KubeObject, kind: ErrorKind, what: str, results: str) -> None:
    """Only `Completed` is success. `results`: what Velero's own results file says."""
    phase = phase_of(obj)
    if phase == "Completed" and not number(obj, "status", "errors"):
        return
    said = [str(message) for message in sequence(obj, "status", "validationErrors")]
    said += [part for part in (text(obj, "status", "failureReason"), results) if part]
    reasons = "; ".join(said) or "Velero gives no reason"
    raise DrError(kind, f"{what} {name_of(obj)} ended {phase}: {reasons}")


def summarised(store: ObjectStore, name: str, level: str = "errors") -> str:
    """The first messages of a results file; empty when Velero did not write one."""
    try:
        found = json.loads(b"".join(gunzip([store.get(name)])))
    except DrError as error:
        return "" if error.kind is NOT_FOUND else f"its results cannot be read: {error.message}"
    except ValueError as error:
        return f"its results cannot be decoded: {error}"
    messages = all_messages(found, level)
    return first(messages, _SHOWN, "; ")


def all_messages(results: object, level: str) -> list[str]:
    """Every message of one level of decoded results, with its namespace."""
    found = mapping(results, level)
    messages = [str(message) for scope in ("velero", "cluster") for message in sequence(found, scope)]
    for namespace, listed in sorted(mapping(found, "namespaces").items()):
        messages += [f"{namespace}: {message}" for message in (listed if isinstance(listed, list) else [])]
    return messages
