"""The report of an experiment as one HTML page, with its pictures. Never in a layer."""

from __future__ import annotations

import numpy as np

from quicksilver.drawing import BAD, CHAMPION, MODEL, QUIET, drawing
from quicksilver.experiment.measures import BIN_WIDTH, SCORE_BINS
from quicksilver.experiment.verdict import RATIO_ALPHA, Ratio
from quicksilver.experiment_plan import Verdict
from quicksilver.instants import utc_iso
from quicksilver.report_page import Badge, PageTable, Picture, Section, render_page
from quicksilver.reports.experiment import DAY_MS, WORDS, ExperimentReport, finite

_BADGES = {
    Verdict.WIN: Badge("pass", "win"),
    Verdict.LOSS: Badge("fail", "loss"),
    Verdict.NO_DIFFERENCE: Badge("warn", "no difference"),
    Verdict.NOT_YET: Badge("none", "not yet"),
    Verdict.INVALID: Badge("fail", "invalid"),
}
_COARSE = 8
"""Bins of the sums in one of the picture."""


def render_experiment(report: ExperimentReport) -> str:
    """The page. The same report gives the same text."""
    found, terms = report.found, report.found.experiment.terms
    sections = (
        Section(
            "Difference over time",
            text=(
                (
                    f"The primary measure is the {WORDS[terms.primary]}, challenger minus champion. Arms that are alike are told apart "
                    f"with a probability of {terms.alpha:g} at most, however often one looks."
                ),
            ),
            pictures=(_sequence(report),),
        ),
        Section("Measures", tables=(_measures(report),)),
        Section("Arms", tables=(_arms(report), _ratios(report)), pictures=_scores(report)),
        Section(
            "Terms",
            facts=(
                ("cut-off", terms.cutoff),
                ("a missed bad costs", terms.costs.missed_bad),
                ("a declined good costs", terms.costs.declined_good),
                ("least effect worth having", terms.minimum_effect),
                ("ripe after, days", terms.ripe_after_seconds / 86_400),
                ("started", found.experiment.started_at),
                ("as of", utc_iso(report.at_ms)),
            ),
        ),
    )
    title = f"Experiment {found.experiment.number}: {found.experiment.challenger} beside {found.champion}"
    return render_page(title, report.sentence, sections, badge=_BADGES[report.verdict])


def _sequence(report: ExperimentReport) -> Picture:
    primary, effect = report.over_time.primary, report.found.experiment.terms.minimum_effect
    days = (report.looks_ms - report.found.started_ms) / DAY_MS
    title = f"Confidence sequence of the difference in {WORDS[primary.measure]}"
    with drawing(9.4, 3.4) as (axes, done):
        axes.axhline(0, color="#333a44", linewidth=1)
        if effect:
            axes.axhspan(-effect, effect, color=QUIET, alpha=0.18, linewidth=0, label="not worth having")
        known = np.isfinite(primary.radius)
        if known.any():
            # The first sequences are as wide as they are few: they would press the later ones flat.
            tall = 3 * float(np.nanmedian(primary.radius)) + float(np.nanmax(np.abs(primary.value[known])))
            axes.set_ylim(-tall, tall)
        axes.fill_between(
            days, primary.low, primary.high, color=MODEL, alpha=0.22, linewidth=0, label="sequence"
        )
        axes.plot(days, np.where(known, primary.value, np.nan), color=MODEL, linewidth=2, label="difference")
        concluded = np.flatnonzero(~np.isin(report.over_time.verdict, [Verdict.NOT_YET, Verdict.INVALID]))
        if len(concluded):
            first = int(concluded[0])
            verdict = Verdict(str(report.over_time.verdict[first])).replace("_", " ")
            axes.axvline(
                float(days[first]),
                color=BAD,
                linewidth=1,
                linestyle="--",
                label=f"first concluded: {verdict}",
            )
        axes.set(xlabel="Days since the start", ylabel="challenger minus champion", xlim=(0, float(days[-1])))
        axes.legend(loc="upper right", ncols=4)
        return Picture(done(title), title, "Before each arm has enough outcomes there is no sequence.")


def _scores(report: ExperimentReport) -> tuple[Picture, ...]:
    title = "Score distributions by arm and outcome"
    edges = (np.arange(0, SCORE_BINS, _COARSE) - SCORE_BINS // 2) * BIN_WIDTH
    with drawing(9.4, 3.2) as (axes, done):
        drawn = False
        for name, colour, arm in (
            ("challenger", MODEL, report.now.arms.challenger),
            ("champion", CHAMPION, report.now.arms.champion),
        ):
            for outcome, style in ((0, "-"), (1, "--")):
                counts = arm.scores[outcome].reshape(-1, _COARSE).sum(axis=-1)
                if counts.sum():
                    drawn = True
                    label = f"{name}, {'bad' if outcome else 'good'}"
                    axes.step(
                        edges, counts / counts.sum(), where="post", color=colour, linestyle=style, label=label
                    )
        if not drawn:
            return ()
        cutoff = report.found.experiment.terms.cutoff
        axes.axvline(
            float(np.log(cutoff / (1 - cutoff))), color="#333a44", linewidth=1, linestyle=":", label="cut-off"
        )
        axes.set(xlabel="Log-odds of the score", ylabel="Share of the arm's outcomes")
        axes.legend(loc="upper right")
        return (Picture(done(title), title),)


def _measures(report: ExperimentReport) -> PageTable:
    primary = report.found.experiment.terms.primary
    rows = tuple(
        (
            WORDS[measure] + (" (primary)" if measure is primary else " (secondary)"),
            *(finite(getattr(found, name)) for name in ("challenger", "champion", "value", "low", "high")),
        )
        for measure, found in report.now.differences.items()
    )
    return PageTable(("measure", "challenger", "champion", "difference", "low", "high"), rows)


def _arms(report: ExperimentReport) -> PageTable:
    rows = tuple(
        (
            row.arm,
            row.model,
            f"{100 * row.share:.4g} %",
            row.entities,
            row.ripe,
            row.outcomes,
            row.bads,
            f"{100 * row.outcomes / row.ripe:.1f} %" if row.ripe else None,
        )
        for row in report.arms
    )
    columns = ("arm", "model version", "share", "entities", "ripe", "with outcome", "bad", "known of ripe")
    return PageTable(columns, rows)


def _ratios(report: ExperimentReport) -> PageTable:
    """Counts by arm against the declared shares."""

    def row(name: str, ratio: Ratio) -> tuple[str, str, str, float, str]:
        counts = " : ".join(f"{count:,}" for count in ratio.counts.tolist())
        expected = " : ".join(f"{share * ratio.counts.sum():,.0f}" for share in ratio.shares)
        return (
            name,
            counts,
            expected,
            float(ratio.evidence),
            "mismatch" if bool(ratio.mismatch) else "as declared",
        )

    rows = (row("all entities", report.now.assigned), row("with an outcome", report.now.known))
    columns = ("", "seen", "expected", "log Bayes factor", "")
    limit = -np.log(RATIO_ALPHA / 2)
    return PageTable(
        columns, rows, title=f"Sample ratio: a mismatch from a log Bayes factor of {limit:.1f} on"
    )
