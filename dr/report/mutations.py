"""A mutation campaign, for people and for programs."""

from __future__ import annotations

from collections import Counter

from dr.model.mutations import MutationReport, Trial
from dr.model.timeline import format_instant
from dr.report.envelope import Item
from dr.report.sheet import Cell, Sheet, Tone, cell, columns_of


def trial_item(trial: Trial) -> Item:
    return {
        "name": trial.fault,
        "component": trial.component,
        "what": trial.what,
        "forged": trial.forged,
        "result": result_of(trial),
        "verdict": trial.verdict,
        "point": trial.point,
        "hit": list(trial.hit),
        "said": list(trial.said),
        "drill": trial.drill,
        "seconds": trial.seconds,
    }


def result_of(trial: Trial) -> str:
    """One word."""
    if not trial.planted:
        return "not planted"
    if trial.clean:
        return "no alarm" if trial.good else "FALSE ALARM"
    return "caught" if trial.good else "MISSED"


def campaign_item(report: MutationReport) -> Item:
    """Beside the items."""
    return {
        "campaign": report.campaign.id,
        "seed": report.campaign.seed,
        "begun": format_instant(report.campaign.begun),
        "complete": report.complete,
        "planted": len(report.planted),
        "caught": len(report.planted) - len(report.missed),
        "missed": [trial.fault for trial in report.missed],
        "clean": sum(trial.clean for trial in report.trials),
        "false_alarms": [trial.fault for trial in report.false_alarms],
        "passed": report.passed,
    }


def campaign_sheet(report: MutationReport, *, wide: bool = False) -> Sheet:
    """A line for each component; below, every miss and every false alarm. `wide`: a line for each trial."""
    notes = (*_bad(report), *summary(report))
    if wide:
        heads = columns_of("result", "fault", "", "verdict", ">took", "what")
        return Sheet(heads, tuple(map(_trial_row, report.trials)), notes, empty="nothing was tried")
    heads = columns_of("component", ">planted", ">caught", ">forged", ">clean drills", ">false alarms")
    rows = tuple(_row(report, name) for name in report.campaign.components)
    return Sheet(heads, rows, notes, empty="nothing was tried")


def _trial_row(trial: Trial) -> tuple[Cell, ...]:
    return (
        cell(result_of(trial), Tone.GOOD if trial.good else Tone.BAD),
        cell(trial.fault),
        cell("forged" if trial.forged else ""),
        cell(trial.verdict),
        cell(f"{trial.seconds:.1f} s"),
        cell(trial.what),
    )


def _row(report: MutationReport, component: str) -> tuple[Cell, ...]:
    planted = [trial for trial in report.planted if trial.component == component]
    clean = [trial for trial in report.trials if trial.clean and trial.component == component]
    caught, alarms = sum(trial.good for trial in planted), sum(not trial.good for trial in clean)
    return (
        cell(component),
        cell(len(planted)),
        cell(caught, Tone.GOOD if caught == len(planted) else Tone.BAD),
        cell(sum(trial.forged for trial in planted)),
        cell(len(clean)),
        cell(alarms, Tone.BAD if alarms else Tone.GOOD),
    )


def _bad(report: MutationReport) -> tuple[str, ...]:
    return tuple(
        f"{result_of(trial)}: {trial.fault}: {trial.what}; the row read {trial.verdict or 'nothing'}: "
        + ("; ".join(trial.said) or "no finding")
        for trial in (*report.missed, *report.false_alarms)
    )


def summary(report: MutationReport) -> tuple[str, ...]:
    """The share, and what it is of."""
    planted, missed = len(report.planted), len(report.missed)
    counts = Counter(trial.planted for trial in report.trials)
    share = f"{planted - missed} of {planted} faults caught"
    words = [share + (f" ({(planted - missed) / planted:.0%})" if planted else "")]
    if counts[False]:
        words.append(f"{counts[False]} not planted: these points have nothing in them to which that could be done")
    if not report.complete:
        words.append(f"not complete: go on with `dr drill mutate --resume {report.campaign.id}`")
    return tuple(words)
