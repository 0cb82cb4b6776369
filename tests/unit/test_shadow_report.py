"""The shadow report's figures are those of numpy and scipy on the same rows, and a replay is what was scored live."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import stats

from quicksilver.contract import Contract
from quicksilver.errors import InvalidQuery, NotFound
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.gates.statistics import wilson
from quicksilver.instants import utc_iso
from quicksilver.memory import ManualClock, MemoryArtifactStore
from quicksilver.model_loader import ModelLoader
from quicksilver.reports.shadow import ShadowReport, compare
from quicksilver.reports.shadow_page import flipping, headline, render_html
from quicksilver.reports.shadow_replay import PackageBeside, replay
from quicksilver.routing import Arm, Role
from quicksilver.shadow.scoring import ShadowScorer
from quicksilver.shadow_score import ShadowError, ShadowScore
from quicksilver.sql.engine import ArchiveDatabase
from tests.archives import archive_database, archived
from tests.conftest import contract_content
from tests.shadows import ARRIVED_MS, reordered_package
from tests.unit.test_model_card import Tags

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quicksilver.package import Package
    from tests.conftest import Trained

SINCE, UNTIL = utc_iso(ARRIVED_MS), utc_iso(ARRIVED_MS + 3_600_000)
CONTRACT = Contract.model_validate(contract_content())
SHADOW_SHA, CHAMPION_SHA = "b" * 64, "a" * 64
CUTOFF = 0.5
ROWS = 400


def prediction(number: int, vector: list[float | None], score: float, **more: Any) -> dict[str, Any]:
    return {
        "prediction_id": f"p{number:05}",
        "endpoint": "card-fraud",
        "entity_id": f"card_{number}",
        "status": "scored",
        "time": utc_iso(ARRIVED_MS + number * 1_000),
        "model": "card-fraud@1",
        "package_sha256": CHAMPION_SHA,
        "fingerprint": CONTRACT.fingerprint,
        "vector": vector,
        "score": score,
        "degraded": [],
        **more,
    }


def shadow_score(number: int, score: float | None, **more: Any) -> dict[str, Any]:
    return json.loads(
        ShadowScore(
            prediction_id=f"p{number:05}", endpoint="card-fraud", entity_id=f"card_{number}",
            time=utc_iso(ARRIVED_MS + number * 1_000), model="card-fraud@2", package_sha256=SHADOW_SHA,
            answered_by="card-fraud@1", raw_score=score, score=score, score_us=0 if score is None else 50 + number,
            error=more.get("error"),
        ).model_dump_json()
    )  # fmt: skip


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    archived(folder, name, "".join(f"{json.dumps(row)}\n" for row in rows).encode())


class Case:
    """Predictions with both scores, with ties, missing values and a shadow that leans on what comes online."""

    def __init__(self) -> None:
        rng = np.random.default_rng(5)
        self.vectors = np.column_stack(
            [
                rng.exponential(80, ROWS).round(1),
                rng.integers(0, 3, ROWS),
                rng.integers(0, 2, ROWS),
                rng.poisson(2, ROWS),
                rng.exponential(60, ROWS),
                rng.beta(2, 40, ROWS),
            ]
        ).astype(float)
        self.vectors[:, 4:6][rng.random((ROWS, 2)) < 0.1] = np.nan
        self.a = rng.beta(2, 3, ROWS).round(2)  # rounded: there are ties
        leaning = 0.15 * (self.vectors[:, 1] == 1)
        self.s = np.clip(self.a + leaning + rng.normal(0, 0.05, ROWS), 0, 1).round(2)
        self.s[7] = CUTOFF  # on the cut-off is adverse

    def write(self, folder: Path) -> None:
        vectors = [[None if math.isnan(x) else x for x in row] for row in self.vectors.tolist()]
        predictions = [prediction(i, vectors[i], float(self.a[i])) for i in range(ROWS)]
        scores = [shadow_score(i, float(self.s[i])) for i in range(ROWS)]
        write(folder, "predictions", predictions + predictions[:20])  # some were delivered twice
        write(folder, "shadow_scores", scores + scores[-30:])


@pytest.fixture(scope="module")
def case() -> Case:
    return Case()


def compared(database: ArchiveDatabase, **more: Any) -> ShadowReport:
    return compare(
        database,
        **{
            "endpoint": "card-fraud",
            "shadow": "card-fraud@2",
            "package_sha256": SHADOW_SHA,
            "since": SINCE,
            "until": UNTIL,
            "cutoff": CUTOFF,
            "contract_of": lambda *_: CONTRACT,
            **more,
        },
    )


@pytest.fixture(scope="module")
def report(case: Case, tmp_path_factory: pytest.TempPathFactory) -> ShadowReport:
    folder = tmp_path_factory.mktemp("archive")
    case.write(folder)
    with archive_database(folder) as database:
        return compared(database)


def test_flips_are_counted_each_way_with_wilsons_interval(case: Case, report: ShadowReport) -> None:
    to_adverse = int(((case.a < CUTOFF) & (case.s >= CUTOFF)).sum())
    to_approved = int(((case.a >= CUTOFF) & (case.s < CUTOFF)).sum())
    flips = report.disagreement
    assert (flips.compared, flips.to_adverse, flips.to_approved) == (ROWS, to_adverse, to_approved)
    assert to_adverse > to_approved > 0, "the case has both"
    bounds = wilson(to_adverse + to_approved, ROWS, 0.95)
    assert (flips.low, flips.high) == (bounds.low, bounds.high)


def test_spearman_and_ks_are_scipys(case: Case, report: ShadowReport) -> None:
    assert report.spearman == pytest.approx(stats.spearmanr(case.a, case.s).statistic, abs=1e-12)
    assert report.ks == pytest.approx(stats.ks_2samp(case.a, case.s).statistic, abs=1e-12)


def test_psi_is_that_of_the_answered_deciles(case: Case, report: ShadowReport) -> None:
    edges = np.unique(np.quantile(case.a, np.arange(1, 10) / 10))
    a = np.bincount(np.searchsorted(edges, case.a), minlength=len(edges) + 1) / ROWS
    s = np.bincount(np.searchsorted(edges, case.s), minlength=len(edges) + 1) / ROWS
    assert (a > 0).all()
    assert (s > 0).all()
    assert report.psi == pytest.approx(float(((s - a) * np.log(s / a)).sum()), abs=1e-12)


def test_histograms_are_numpys(case: Case, report: ShadowReport) -> None:
    assert (report.scores.low, report.scores.high) == (0.0, 1.0)
    # Away from the edges themselves, which floating point may put on either side.
    for counts, scores in ((report.scores.answered, case.a), (report.scores.shadow, case.s)):
        assert sum(counts) == ROWS
        assert sum(counts[:25]) == int((scores < 0.5).sum())


def test_segments_recount_the_rows(case: Case, report: ShadowReport) -> None:
    flipped = (case.a < CUTOFF) != (case.s < CUTOFF)
    found = {(item.feature, item.segment): item.flips for item in report.segments}
    for code, channel in enumerate(["pos", "online", "atm"]):
        rows = case.vectors[:, 1] == code
        flips = found["channel", channel]
        assert (flips.compared, flips.to_adverse + flips.to_approved) == (rows.sum(), flipped[rows].sum())
    risk = case.vectors[:, 5]
    missing = found["merchant_risk", "missing"]
    assert (missing.compared, missing.share) == (np.isnan(risk).sum(), flipped[np.isnan(risk)].mean())
    q1 = np.quantile(risk[~np.isnan(risk)], 0.25)
    assert found["merchant_risk", f"up to {q1:.4g}"].compared == (risk <= q1).sum()
    for feature in CONTRACT.names:
        assert sum(item.flips.compared for item in report.segments if item.feature == feature) == ROWS


def test_the_segment_that_surely_flips_most_comes_first(report: ShadowReport) -> None:
    assert (report.segments[0].feature, report.segments[0].segment) == ("channel", "online")
    lows = [item.flips.low for item in report.segments]
    assert lows == sorted(lows, reverse=True)


def test_latency_is_the_median_and_the_99th_percentile(report: ShadowReport) -> None:
    times: NDArray[Any] = np.arange(50, 50 + ROWS)
    assert report.latency.median_us == np.quantile(times, 0.5, method="inverted_cdf")
    assert report.latency.p99_us == np.quantile(times, 0.99, method="inverted_cdf")


def test_every_prediction_of_the_time_is_accounted_for(tmp_path: Path) -> None:
    vector: list[float | None] = [1.0, 0.0, 1.0, 2.0, 3.0, 0.1]
    predictions = [prediction(i, vector, 0.4) for i in range(10)]
    predictions[6] |= {"status": "fallback", "vector": []}
    predictions += [
        prediction(20, vector, 0.4, time=utc_iso(ARRIVED_MS - 1)),  # before the time
        prediction(21, vector, 0.4, time=UNTIL),  # its end is not of it
        prediction(22, vector, 0.4, endpoint="credit-line"),
    ]
    scores = [shadow_score(i, 0.6) for i in (2, 3, 7, 20, 21, 22)]
    scores += [shadow_score(8, None, error=ShadowError.REJECTED)]
    scores += [
        {**shadow_score(1, 0.9), "package_sha256": "c" * 64, "model": "card-fraud@3"}
    ]  # another shadow's
    write(tmp_path, "predictions", predictions)
    write(tmp_path, "shadow_scores", scores)
    with archive_database(tmp_path) as database:
        report = compared(database)
    assert report.coverage.model_dump() == {
        "predictions": 10, "scored": 3, "failed": 1, "before": 2, "without_score": 3, "without_vector": 1,
    }  # fmt: skip
    assert report.coverage.share == 3 / 7
    assert report.errors == {"rejected": 1}
    assert report.spearman is None, "every score is the same"
    assert report.psi > 0


def test_vectors_of_several_contracts_are_read_each_by_its_own(tmp_path: Path) -> None:
    content = contract_content()
    content["features"][1]["categories"] = ["atm", "o'clock"]
    content["features"] = [content["features"][1], content["features"][0]]
    content["groups"] = {}
    other = Contract.model_validate(content)
    predictions = [
        prediction(0, [5.0, 2.0, 0.0, 0.0, 1.0, 0.1], 0.1),  # atm
        prediction(1, [0.0, 7.0], 0.1, fingerprint=other.fingerprint),  # atm, by the other's codes
        prediction(2, [1.0, 7.0], 0.9, fingerprint=other.fingerprint),
        prediction(3, [None, 7.0], 0.9, fingerprint=other.fingerprint),
    ]
    write(tmp_path, "predictions", predictions)
    write(tmp_path, "shadow_scores", [shadow_score(i, 0.9) for i in range(4)])
    contracts = {CONTRACT.fingerprint: CONTRACT, other.fingerprint: other}
    with archive_database(tmp_path) as database:
        report = compared(database, contract_of=lambda _, fingerprint: contracts[fingerprint])
    found = {(item.feature, item.segment): item.flips.compared for item in report.segments}
    assert found["channel", "atm"] == 2
    assert found["channel", "o'clock"] == 1
    assert found["channel", "missing"] == 1
    assert found["cross_border", "false"] == 1, "of the one contract that has it"
    assert sum(count for (feature, _), count in found.items() if feature == "merchant_risk") == 1


def test_each_model_version_that_answered_has_its_own_flips(tmp_path: Path) -> None:
    vector: list[float | None] = [1.0, 0.0, 1.0, 2.0, 3.0, 0.1]
    predictions = [prediction(i, vector, 0.4, model=f"card-fraud@{1 + i % 2}") for i in range(5)]
    write(tmp_path, "predictions", predictions)
    write(tmp_path, "shadow_scores", [shadow_score(i, 0.6 if i % 2 else 0.4) for i in range(5)])
    with archive_database(tmp_path) as database:
        report = compared(database)
    assert [(item.model, item.flips.compared, item.flips.to_adverse) for item in report.answered_by] == [
        ("card-fraud@1", 3, 0),
        ("card-fraud@2", 2, 2),
    ]


def test_scores_of_a_regression_have_a_range_of_their_own(tmp_path: Path) -> None:
    vector: list[float | None] = [1.0, 0.0, 1.0, 2.0, 3.0, 0.1]
    write(tmp_path, "predictions", [prediction(i, vector, 100.0 * i) for i in range(4)])
    write(tmp_path, "shadow_scores", [shadow_score(i, 100.0 * i - 50) for i in range(4)])
    with archive_database(tmp_path) as database:
        report = compared(database, cutoff=150.0)
    assert (report.scores.low, report.scores.high) == (-50.0, 300.0)
    assert sum(report.scores.answered) == sum(report.scores.shadow) == 4
    assert report.disagreement.share == 0.0


def test_nothing_scored_is_said_with_the_causes(tmp_path: Path) -> None:
    vector: list[float | None] = [1.0, 0.0, 1.0, 2.0, 3.0, 0.1]
    write(tmp_path, "predictions", [prediction(i, vector, 0.4) for i in range(3)])
    write(
        tmp_path,
        "shadow_scores",
        [shadow_score(i, None, error=ShadowError.FEATURES_LACKING) for i in range(3)],
    )
    with (
        archive_database(tmp_path) as database,
        pytest.raises(NotFound, match="card-fraud@2 has scored none of the 3 predictions") as caught,
    ):
        compared(database)
    assert caught.value.__notes__ == ["  features lacking: 3 predictions"]


def test_the_page_needs_nothing_else_and_says_what_the_report_says(report: ShadowReport) -> None:
    page = render_html(report)
    tags = Tags(page)
    assert tags.open == []
    assert len([tag for tag, _ in tags.tags if tag == "img"]) == 2
    assert not {"script", "link", "iframe"} & {tag for tag, _ in tags.tags}
    assert headline(report) in page
    assert flipping(report)[0].segment in page
    assert render_html(report) == page


def test_the_report_is_json_that_reads_back(report: ShadowReport) -> None:
    assert ShadowReport.model_validate_json(report.model_dump_json()) == report


# -- replay --


@pytest.fixture
def answered(
    trained: Trained, package: Package, tmp_path: Path
) -> Iterator[tuple[ArchiveDatabase, list[dict[str, Any]]]]:
    """Vectors that the tests' champion answered, archived, with its own raw scores."""
    evaluator = LightGBMEvaluator(package.model_text)
    rows = []
    for i, vector in enumerate(trained.vectors[:300].tolist()):
        raw = evaluator.raw_score(vector)
        values = [None if math.isnan(x) else x for x in vector]
        more = {
            "raw_score": raw,
            "package_sha256": package.sha256,
            "fingerprint": package.contract.fingerprint,
        }
        rows.append(prediction(i, values, evaluator.score(raw), **more))
    write(tmp_path, "predictions", rows)
    with archive_database(tmp_path) as database:
        yield database, rows


def replayed(database: ArchiveDatabase, model: Package, *others: Package, until: str = UNTIL) -> int:
    inner = MemoryArtifactStore()
    for other in others:
        inner.put(other.sha256, other.files)
    store = PackageBeside(model, inner)
    arm = Arm(model="card-fraud@2", package_sha256=model.sha256, role=Role.SHADOW, share_bp=0)
    scorer = ShadowScorer(ModelLoader(store, LightGBMEvaluator, permit=lambda _: None), store, ManualClock())
    steps: list[tuple[int, int]] = []
    done = replay(
        database, endpoint="card-fraud", arm=arm, since=SINCE, until=until, scorer=scorer,
        progress=lambda *step: steps.append(step),
    )  # fmt: skip
    assert steps[-1] == (done.rows, done.rows)
    assert done.rows_per_second > 0
    return done.rows


def test_a_replay_of_the_champion_gives_its_raw_scores_bit_for_bit(
    answered: tuple[ArchiveDatabase, list[dict[str, Any]]], package: Package
) -> None:
    database, rows = answered
    assert replayed(database, package) == 300
    found = dict(database.query("SELECT prediction_id, raw_score FROM shadow_scores").rows)
    assert found == {row["prediction_id"]: row["raw_score"] for row in rows}
    report = compared(database, package_sha256=package.sha256)
    assert (report.disagreement.share, report.psi, report.ks) == (0.0, 0.0, 0.0)
    assert report.spearman == 1.0
    assert report.coverage.share == 1.0
    assert render_html(report).count("No decision flips") == 1


def test_a_replay_decodes_by_the_contract_that_answered(
    answered: tuple[ArchiveDatabase, list[dict[str, Any]]], package: Package
) -> None:
    database, rows = answered
    model = reordered_package()
    replayed(database, model, package)
    evaluator = LightGBMEvaluator(model.model_text)
    found = dict(database.query("SELECT prediction_id, raw_score FROM shadow_scores").rows)
    codes = {0.0: 1.0, 1.0: 2.0, 2.0: 0.0}
    for row in rows:
        values = [math.nan if value is None else value for value in row["vector"]]
        values[1] = codes[values[1]]
        assert found[row["prediction_id"]] == evaluator.raw_score(values)


def test_a_replay_is_of_its_time_only(
    answered: tuple[ArchiveDatabase, list[dict[str, Any]]], package: Package
) -> None:
    assert replayed(answered[0], package, until=utc_iso(ARRIVED_MS + 100_000)) == 100


def test_a_database_reads_no_file_beyond_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (tmp_path / "other.jsonl").write_text("{}\n")
    with (
        archive_database(folder) as database,
        pytest.raises(InvalidQuery, match="Permission"),
    ):
        database.query("FROM read_json($file)", {"file": f"{tmp_path}/other.jsonl"})
