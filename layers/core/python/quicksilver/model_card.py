"""The HTML model card: everything an approver looks at, in one file that needs nothing else.

It is made from a package, and shows more the more there is: evaluation rows bring pictures, a gate report
brings its checks and the table of groups, a champion brings what has changed. Training side; never in a layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quicksilver.drawing import CHAMPION, MODEL
from quicksilver.errors import FieldError, InvalidPackage
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.data import EvaluationData
from quicksilver.gates.report import Check, Gate, GateReport
from quicksilver.gates.subject import Subject
from quicksilver.model_card_pictures import (
    Curve,
    calibration,
    roc,
    score_distribution,
    shap_summary,
)
from quicksilver.model_card_text import environment, read_facts
from quicksilver.model_text import read_header
from quicksilver.package import Package
from quicksilver.package_diff import diff_packages
from quicksilver.report_page import figure


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One group's checks, one per measure; ``None`` where it has none. Not ``judged``: too few rows."""

    group: str
    rows: int | None
    judged: bool
    checks: tuple[Check | None, ...]


@dataclass(frozen=True, slots=True)
class GroupTable:
    measures: tuple[str, ...]
    rows: tuple[GroupRow, ...]


def render_html(
    package: Package,
    *,
    data: EvaluationData | None = None,
    report: GateReport | None = None,
    champion: Package | None = None,
    cutoff: float | None = None,
    title: str | None = None,
) -> str:
    """The card as one HTML document. The same arguments give the same text.

    Raises ``InvalidData`` for evaluation rows that do not fit the package's contract, and ``InvalidPackage`` for
    a gate report of another package: an approver must not read one model's results under another's name.
    """
    if report is not None and report.package_sha256 != package.sha256:
        raise InvalidPackage(
            "The gate report is of another package.",
            [FieldError("package_sha256", f"is {report.package_sha256[:12]}, not {package.sha256[:12]}")],
        )
    page = environment(autoescape=True)
    page.filters |= {
        "number": figure,
        "interval": _interval,
        "plain": _plain,
        "signed": lambda value: "" if value is None else f"{value:+.3g}",
        "percent": lambda value: "" if value is None else f"{100 * value:.1f} %",
        "points": lambda value: "" if value is None else f"{100 * value:+.1f}",
    }
    return page.get_template("model_card.html.j2").render(
        title=title or f"Model card: {package.contract.endpoint}",
        package=package,
        card=read_facts(package),
        header=read_header(package.model_text),
        report=report,
        pictures=_pictures(package, data, champion, cutoff),
        checks=[] if report is None else _checks(report),
        groups=[] if report is None else group_tables(report),
        diff=None if champion is None else diff_packages(champion, package),
    )


def _pictures(
    package: Package, data: EvaluationData | None, champion: Package | None, cutoff: float | None
) -> Mapping[str, str]:
    if data is None or LightGBMEvaluator(package.model_text).is_regression:
        return {"roc": "", "shap": ""}
    vectors, target = data.encode(package.contract).vectors, data.target
    scores = Subject(package).scores(vectors)
    curves = [Curve("this model", MODEL, scores)]
    if champion is not None and set(champion.contract.names) <= data.names:
        theirs = Subject(champion).scores(data.encode(champion.contract).vectors)
        curves.insert(0, Curve("champion", CHAMPION, theirs))
    return {
        "roc": roc(curves, target),
        "calibration": calibration(curves, target),
        "scores": score_distribution(scores, target, cutoff),
        "shap": shap_summary(package, vectors),
    }


def _checks(report: GateReport) -> list[tuple[str, tuple[Check, ...]]]:
    """The checks of every gate that are not of one group: those have a table of their own."""
    found = [(gate.value, tuple(c for c in report.of_gate(gate) if c.group is None)) for gate in Gate]
    return [(gate, checks) for gate, checks in found if checks]


def group_tables(report: GateReport) -> list[tuple[str, GroupTable]]:
    """For each protected attribute a table of its groups, one column per measure, in the report's order."""
    of_groups = [check for check in report.of_gate(Gate.BIAS) if check.attribute and check.group is not None]
    tables = []
    for attribute in dict.fromkeys(check.attribute for check in of_groups):
        own = [check for check in of_groups if check.attribute == attribute]
        measures = tuple(dict.fromkeys(check.name for check in own))
        rows = []
        for group in dict.fromkeys(check.group for check in own):
            by_name = {check.name: check for check in own if check.group == group}
            counted = max((check.rows or 0 for check in by_name.values()), default=0)
            judged = any(check.limit is not None for check in by_name.values())
            checks = tuple(by_name.get(measure) for measure in measures)
            rows.append(GroupRow(str(group), counted or None, judged, checks))
        tables.append((str(attribute), GroupTable(measures, tuple(rows))))
    return tables


def _interval(check: Check) -> str:
    return "" if check.low is None or check.high is None else f"{figure(check.low)} to {figure(check.high)}"


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
