"""`dr check`: is everything in place to keep the table?"""

from __future__ import annotations

import click

from dr.cli.common import component_option, components_of, emit, next_command, output_option, the_app


@click.command("check")
@component_option
@click.option("--pre", is_flag=True, help="Only what a restore or a drill needs, as the identity that restores.")
@output_option()
@click.pass_context
def command(ctx: click.Context, components: tuple[str, ...], pre: bool, form: str) -> None:
    """Look at permissions of each identity, versions, protection settings, locks, places, keys, clocks, and whether the
    table can be kept. Exit 1 when something is not as it must be; warnings do not fail."""
    from dr.app.checks import check, check_before_restore
    from dr.report.findings import finding_item, findings_sheet
    from dr.report.screen import show

    names = components_of(components)
    if pre:
        findings = check_before_restore(the_app(ctx, "restore"), names)
    else:
        findings = check(the_app(ctx), names)
    items = list(map(finding_item, findings))
    emit(form, "Check", items, name="name", table=lambda wide: show(findings_sheet(findings, wide=wide)))
    if not all(finding.passed for finding in findings):
        ctx.exit(1)
    if pre:
        next_command("dr restore plan --point-in-time T", "says what would be restored from what")
    else:
        next_command("dr plan", "shows what can be kept")
