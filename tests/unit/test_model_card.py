"""The HTML card stands alone, shows what there is, and lets no text of others become markup."""

from __future__ import annotations

import base64
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pytest

from quicksilver.errors import InvalidPackage
from quicksilver.evaluation_file import open_evaluation
from quicksilver.gates.data import EvaluationData
from quicksilver.gates.report import Check, Gate, GateReport, Outcome
from quicksilver.model_card import group_tables, render_html
from quicksilver.model_card_pictures import shap_values
from quicksilver.packing import evaluation_rows

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.conftest import Trained

ZERO = "0" * 64


@pytest.fixture(scope="module")
def data(trained: Trained) -> EvaluationData:
    return open_evaluation(
        evaluation_rows(
            trained.contract,
            reference=trained.vectors,
            target=trained.target,
            protected={"sex": ["female", "male", None] * 500},
        )
    )


@pytest.fixture
def report(package: Package, data: EvaluationData) -> GateReport:
    def ratio(group: str, value: float, limit: float | None, outcome: Outcome) -> Check:
        return Check(
            gate=Gate.BIAS, name="adverse_impact_ratio", outcome=outcome, sentence=f"<{group}> is {value}.",
            value=value, low=value - 0.05, high=value + 0.05, limit=limit, attribute="sex", group=group, rows=500,
        )  # fmt: skip

    return GateReport(
        endpoint="card-fraud", package_sha256=package.sha256, fingerprint=package.contract.fingerprint,
        champion="card-fraud@12", champion_sha256=ZERO, data_sha256=data.sha256, rows=data.rows,
        policy_version=3, policy_sha256=ZERO, created_at="2026-11-23T09:00:00.000Z",
        checks=(
            Check(gate=Gate.PERFORMANCE, name="auc", outcome=Outcome.PASS, sentence="Good.", value=0.91, limit=0.6),
            ratio("female", 0.7, 0.8, Outcome.WARN),
            ratio("unknown", 0.99, None, Outcome.PASS),
        ),
    )  # fmt: skip


class Tags(HTMLParser):
    """Every tag of a page with its attributes, and whether each that opens also closes."""

    VOID = ("meta", "img", "br", "link", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_card_with_everything_needs_nothing_else(
    package: Package, second_package: Package, data: EvaluationData, report: GateReport
) -> None:
    page = render_html(package, data=data, report=report, champion=second_package, cutoff=0.5)
    tags = Tags(page)
    assert tags.open == []
    assert [tag for tag, _ in tags.tags if tag in ("script", "link", "iframe")] == []
    pictures = [attributes["src"] or "" for tag, attributes in tags.tags if tag == "img"]
    assert len(pictures) == 4
    for picture in pictures:
        svg = base64.b64decode(picture.removeprefix("data:image/svg+xml;base64,"))
        assert ET.fromstring(svg).tag.endswith("svg")  # noqa: S314 - our own drawing
    assert "http" not in re.sub(r"data:[^\"]+", "", page)


def test_what_gates_found_is_on_the_card(package: Package, report: GateReport) -> None:
    page = render_html(package, report=report)
    for words in (
        "gates passed with warnings",
        "card-fraud@12",
        "adverse impact ratio",
        "0.65 to 0.75",
        "policy 3",
    ):
        assert words in page
    assert 'class="small"' in page, "the group too small to judge is grey"


def test_a_report_of_another_package_is_refused(second_package: Package, report: GateReport) -> None:
    with pytest.raises(InvalidPackage, match="The gate report is of another package"):
        render_html(second_package, report=report)


def test_groups_are_tabled_by_attribute_with_unknown_as_one_of_them(report: GateReport) -> None:
    ((attribute, table),) = group_tables(report)
    assert (attribute, table.measures) == ("sex", ("adverse_impact_ratio",))
    assert [(row.group, row.rows, row.judged) for row in table.rows] == [
        ("female", 500, True),
        ("unknown", 500, False),
    ]


def test_what_changed_since_the_champion_is_on_the_card(package: Package, second_package: Package) -> None:
    page = render_html(package, champion=second_package)
    assert "What changed since the champion" in page
    assert "The contract is the same." in page


def test_a_card_without_rows_or_report_still_shows_the_package(package: Package) -> None:
    page = render_html(package)
    assert "not gated yet" in page
    assert "<img" not in page
    assert all(f"<code>{name}</code>" in page for name in package.contract.names)


def test_the_same_card_has_the_same_bytes(package: Package, data: EvaluationData) -> None:
    assert render_html(package, data=data) == render_html(package, data=data)


def test_facts_of_people_are_text_and_never_markup(trained: Trained) -> None:
    facts = {"purpose": "Score <script>alert(1)</script>", "owner": "A | B", "limits": "First.\n\n- second"}
    page = render_html(trained.pack(card=facts))
    assert "<script>" not in page
    assert "Score &lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "Owner: A | B." in page
    assert "- second" in page


def test_shap_values_are_lightgbms_own_contributions(trained: Trained, package: Package) -> None:
    expected = np.asarray(trained.booster.predict(trained.vectors[:50], pred_contrib=True))[:, :-1]
    np.testing.assert_allclose(shap_values(package, trained.vectors[:50]), expected, atol=1e-12)
