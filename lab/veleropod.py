"""What the images of Velero and of its plugin stand for on a lab's node: the real binaries, told where the lab's storage is.

`python -m lab.veleropod CONFIG plugin` is the plugin's image (it copies itself to /target), `... CONFIG server ARGS`
Velero's. `python -m lab.veleropod render` prints what the real `velero install` would apply: shipped with `dr`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from lab.build import binary
from lab.parts import Site
from lab.state import PROJECT, Lab

PLUGIN_IMAGE = "velero/velero-plugin-for-gcp"
HEADER = """\
# Output of `velero install --dry-run -o yaml` of Velero {version} (Apache License 2.0, github.com/vmware-tanzu/velero).
# Made anew by: python -m lab.veleropod render > dr/components/cluster/assets/velero.yaml
"""
NOWHERE = """\
{apiVersion: v1, kind: Config, current-context: x, contexts: [{name: x, context: {cluster: x, user: x}}],
 clusters: [{name: x, cluster: {server: "http://127.0.0.1:1"}}], users: [{name: x, user: {}}]}
"""
"""A dry run asks nobody, but the command insists on a kubeconfig."""
ARGUMENTS = (
    "install", "--dry-run", "-o", "yaml", "--provider", "gcp", "--bucket", "b", "--no-secret", "--use-node-agent",
    "--sa-annotations", "iam.gke.io/gcp-service-account=x@y.iam", "--backup-location-config", "serviceAccount=x@y.iam",
)  # fmt: skip


def write_images(site: Site, beside: Lab) -> Path:
    """The node's table of images, with Velero's: it uses the storage of the lab `beside`."""
    config, table = site.data("node") / "velero.json", site.data("node") / "images.yaml"
    config.write_text(json.dumps(_config(site, beside)))
    document = yaml.safe_load((Path(__file__).parent / "images.yaml").read_text())
    run = ["{python}", "-m", "lab.veleropod", str(config)]
    document["images"] |= {"velero/velero": {"entrypoint": ["/velero"]}, PLUGIN_IMAGE: {"entrypoint": [*run, "plugin"]}}
    document["commands"]["/velero"] = run
    table.write_text(yaml.safe_dump(document))
    return table


def _config(site: Site, beside: Lab) -> Mapping[str, object]:
    return {
        "velero": str(binary("velero")),
        "plugin": str(binary("velero-plugin-for-gcp")),
        # pods share the machine's network here
        "flags": {
            "server": [
                f"--metrics-address={site.address('velero.metrics')}",
                f"--profiler-address={site.address('velero.profiler')}",
            ]
        },
        "env": {
            "STORAGE_EMULATOR_HOST": beside.endpoints["storage_plain"].removeprefix("http://"),
            "GOOGLE_APPLICATION_CREDENTIALS": str(beside.key("velero")),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
        },
    }


def run(config: Mapping[str, object], words: list[str]) -> None:
    """Become the command of one of the two images."""
    if words[0] == "plugin":
        shutil.copy(str(config["plugin"]), "/target/velero-plugin-for-gcp")
        return
    flags, env = config["flags"], config["env"]
    assert isinstance(flags, dict)
    assert isinstance(env, dict)
    argv = [str(config["velero"]), *words, *flags.get(words[0], [])]
    os.execve(argv[0], argv, {**os.environ, **env})


def rendered(version: str, plugin: str) -> str:
    """What `velero install` of the lab's own binary would apply, as text."""
    with tempfile.TemporaryDirectory() as home:
        kubeconfig = Path(home) / "kubeconfig"
        kubeconfig.write_text(NOWHERE)
        argv = (
            str(binary("velero")),
            "--kubeconfig",
            str(kubeconfig),
            *ARGUMENTS,
            "--plugins",
            f"{PLUGIN_IMAGE}:{plugin}",
        )
        done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, "HOME": home}, check=True)
    items = [_plain(item) for item in yaml.load(done.stdout, yaml.CSafeLoader)["items"]]
    return HEADER.format(version=version) + yaml.safe_dump_all(items, sort_keys=True, width=110, explicit_start=True)


def _plain(body: dict[str, object]) -> object:
    """Without what only a living object has."""
    return _undated({key: value for key, value in body.items() if key != "status"})


def _undated(value: object) -> object:
    if isinstance(value, dict):
        return {key: _undated(v) for key, v in value.items() if not (key == "creationTimestamp" and v is None)}
    return [_undated(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    first, *words = sys.argv[1:]
    if first == "render":
        from dr.components.cluster.bootstrap import PLUGIN, RELEASE

        sys.stdout.write(rendered(RELEASE, PLUGIN))
    else:
        run(json.loads(Path(first).read_text()), words)


if __name__ == "__main__":
    main()
