"""`dr init`: files to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from dr.cli.common import next_command


@click.command("init")
@click.option("--directory", type=click.Path(file_okay=False, path_type=Path), default=Path("."), show_default=True)
@click.option("--repositories", is_flag=True, help="Also write format.json into the control repository and the vaults.")
@click.option("--key", type=click.Path(path_type=Path), help="Only write a new random key to this file.")
@click.option("--evidence-key", type=click.Path(path_type=Path), help="Only write a new signing key to this file.")
@click.option("--from", "control", metavar="URL", help="Write the files that captures used last: gs://bucket.")
@click.pass_context
def command(
    ctx: click.Context,
    directory: Path,
    repositories: bool,
    key: Path | None,
    evidence_key: Path | None,
    control: str | None,
) -> None:
    """Write strategy.yaml and dr.yaml to start from; nothing that exists is overwritten.

    With --repositories: prepare the control repository and the vaults that the settings name. With --key: make a key
    file that Secrets are sealed with, where there is no Cloud KMS; with --evidence-key one that drill reports are signed
    with. With --from: on a machine that has nothing but
    credentials for the buckets, the files that captures used last, which the control repository keeps.
    """
    if key is not None:
        return new_key(key)
    if evidence_key is not None:
        return new_evidence_key(evidence_key)
    if repositories:
        return prepare(ctx)
    if control:
        from dr.app.recovery import last_files

        write_files(directory, last_files(control))
        return next_command("dr check --pre", "looks at what a restore needs")
    from dr.settings import settings_template
    from dr.strategy import default_strategy_text

    texts = {"strategy.yaml": default_strategy_text(), "dr.yaml": settings_template()}
    write_files(directory, {name: text.encode() for name, text in texts.items()})
    return next_command("dr init --repositories", "once dr.yaml names your buckets")


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """All or none. Raises DrError TARGET_EXISTS."""
    refuse_existing([directory / name for name in files])
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
        click.echo(directory / name)


def new_key(path: Path) -> None:
    """A key in a file. Raises DrError TARGET_EXISTS, CONFIGURATION."""
    from dr.changelog.localkey import make_key

    make_key(path)
    click.echo(f"{path}  declare it: keys: {{primary: file://{path.resolve()}}}")
    click.echo("keep a copy of it elsewhere: without it nothing that it sealed can ever be opened", err=True)


def new_evidence_key(path: Path) -> None:
    """A signing key in a file, its public half beside it. Raises DrError TARGET_EXISTS, CONFIGURATION."""
    from dr.vendors.signingfile import make_signing_key

    public = make_signing_key(path)
    click.echo(f"{path}  declare it: keys: {{evidence: file://{path.resolve()}}}")
    click.echo(f"{public}  verifies what it signs: give it to your auditors by a way of its own", err=True)


def refuse_existing(paths: list[Path]) -> None:
    """Raises DrError TARGET_EXISTS before anything is written."""
    from dr.errors import TARGET_EXISTS, DrError

    for path in paths:
        if path.exists():
            raise DrError(TARGET_EXISTS, f"{path} exists; nothing was written", hint="choose another --directory")


def prepare(ctx: click.Context) -> None:
    """`format.json` where there is none; an existing one is checked."""
    from dr.cli.common import the_app
    from dr.record.layout import ensure_format

    app = the_app(ctx)
    places = {"control": app.control} | {name: app.vault(name) for name in app.settings.vaults}
    for name, store in places.items():
        ensure_format(store, "control" if name == "control" else "vault")
        click.echo(f"{store.url}  ready ({name})")
    app.keep_table()
    next_command("dr check", "looks at permissions, protection and the clock")
