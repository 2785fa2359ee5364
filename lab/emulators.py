"""Google's own emulators: where the Cloud SDK keeps them, how they are started, when they serve."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

from lab.state import LabError

SDK_PLACES = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/snap/google-cloud-cli",
)
FIRESTORE_JAR = "platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"
FIRESTORE_MAIN = "com.google.cloud.datastore.emulator.firestore.CloudFirestore"
PUBSUB_JARS = "platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar"
FIRESTORE_HEAP = ("-Xms96m", "-Xmx3g")
PUBSUB_HEAP = ("-Xms48m", "-Xmx320m")
POLL_S = 0.05


def find_sdk() -> Path:
    """Root of the Cloud SDK: beside the real `gcloud`, or where the distributions put it. LabError when there is none."""
    gcloud = shutil.which("gcloud")
    beside = [Path(gcloud).resolve().parent.parent] if gcloud else []
    home = [Path(os.environ["CLOUDSDK_ROOT_DIR"])] if "CLOUDSDK_ROOT_DIR" in os.environ else []
    for root in [*home, *beside, *map(Path, SDK_PLACES), Path.home() / "google-cloud-sdk"]:
        if (root / "platform").is_dir():
            return root
    raise LabError("the Google Cloud SDK is missing: install it from https://cloud.google.com/sdk/docs/install")


def firestore_command(port: int) -> tuple[str, ...]:
    """argv that serves Firestore (plain text) on 127.0.0.1:`port`; LabError names what is missing."""
    jar = find_sdk() / FIRESTORE_JAR
    if not jar.exists():
        raise LabError(_missing("Firestore", "cloud-firestore-emulator"))
    flags = ("-Duser.language=en", *FIRESTORE_HEAP, "-XX:+UseSerialGC")
    return (_java(), *flags, "-cp", str(jar), FIRESTORE_MAIN, "start", "--host=127.0.0.1", f"--port={port}")


def pubsub_command(port: int) -> tuple[str, ...]:
    """argv that serves Pub/Sub (plain text) on 127.0.0.1:`port`; LabError names what is missing."""
    jars = sorted(find_sdk().glob(PUBSUB_JARS))
    if not jars:
        raise LabError(_missing("Pub/Sub", "pubsub-emulator"))
    return (_java(), *PUBSUB_HEAP, "-XX:+UseSerialGC", "-jar", str(jars[-1]), "--host=127.0.0.1", f"--port={port}")


def wait_listening(port: int, deadline_s: float = 60, alive: Callable[[], bool] = lambda: True) -> None:
    """Until 127.0.0.1:`port` accepts connections: the emulators bind last. LabError after `deadline_s` or when it is not `alive`."""
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline and alive():
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_S)
    state = f"after {deadline_s:.0f} s" if alive() else "and the process has ended"
    raise LabError(f"nothing listens on 127.0.0.1:{port} {state}")


def _java() -> str:
    java = shutil.which("java")
    if java is None:
        raise LabError("Java is missing, the emulators need it: apt-get install openjdk-17-jre-headless")
    return java


def _missing(what: str, component: str) -> str:
    apt = f"apt-get install google-cloud-cli-{component.removeprefix('cloud-')}"
    return f"the {what} emulator is missing: gcloud components install {component} (or {apt})"
