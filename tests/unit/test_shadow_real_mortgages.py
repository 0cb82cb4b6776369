"""Real mortgages (HMDA): a shadow with fewer features in another order, replayed over 20,000 archived vectors.

Every figure is computed a second time from the raw file, by pandas, LightGBM's own package, numpy and scipy.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import lightgbm
import numpy as np
import pytest
from scipy import stats

from quicksilver.aws.system import SystemClock
from quicksilver.contract import Contract
from quicksilver.evaluator import LightGBMEvaluator
from quicksilver.instants import utc_iso
from quicksilver.memory import MemoryArtifactStore
from quicksilver.model_loader import ModelLoader
from quicksilver.packing import pack
from quicksilver.reports.shadow import compare
from quicksilver.reports.shadow_replay import replay
from quicksilver.routing import Arm, Role
from quicksilver.shadow.scoring import ShadowScorer
from tests.archives import archive_database, archived
from tests.real_mortgages import FILE, TRAINING_ROWS, features, hand_over
from tests.shadows import ARRIVED_MS

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FILE.is_file(), reason="the folder with real data is absent"),
]

ROWS = 20_000
CUTOFF = 0.2
FEATURES = ["loan_to_value_ratio_std", "conforming", "term_360", "loan_amount_std", "income_std"]


def test_a_replay_over_real_vectors_is_what_a_recount_gives(tmp_path: Path) -> None:
    mortgages = hand_over()
    contract = mortgages.package.contract
    by_name = {feature.name: feature.model_dump(mode="json") for feature in contract.features}
    fewer = Contract.model_validate(
        {"endpoint": "credit-line", "features": [by_name[name] for name in FEATURES]}
    )
    rows = mortgages.raw.iloc[:ROWS]
    later = mortgages.raw.iloc[ROWS:]
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 15, "verbose": -1, "num_threads": 1, "seed": 2},
        lightgbm.Dataset(features(later)[FEATURES].astype(float), later["high_priced"]),
        num_boost_round=40,
    )
    shadow = pack(booster, fewer, reference=features(later)[FEATURES], target=later["high_priced"].to_numpy())

    answered = mortgages.scores[:ROWS]
    with archived(tmp_path, "predictions", b"", endpoint="credit-line").open("w") as target:
        vectors = features(rows)[list(contract.names)].astype(float).to_numpy().tolist()
        for number, (vector, score) in enumerate(zip(vectors, answered.tolist(), strict=True)):
            record = {
                "prediction_id": f"p{number}", "endpoint": "credit-line", "entity_id": f"loan_{number}",
                "time": utc_iso(ARRIVED_MS + number), "model": "credit-line@1", "score": score, "degraded": [],
                "package_sha256": mortgages.package.sha256, "fingerprint": contract.fingerprint,
                "vector": [None if math.isnan(value) else value for value in vector],
            }  # fmt: skip
            target.write(f"{json.dumps(record)}\n")
    assert TRAINING_ROWS + ROWS < 160_338, "the champion was trained on none of these rows"

    artifacts, clock = MemoryArtifactStore(), SystemClock()
    for package in (mortgages.package, shadow):
        artifacts.put(package.sha256, package.files)
    loader = ModelLoader(artifacts, LightGBMEvaluator, permit=lambda _: None)
    time = {"since": utc_iso(ARRIVED_MS), "until": utc_iso(ARRIVED_MS + ROWS)}
    with archive_database(tmp_path) as database:
        done = replay(
            database,
            endpoint="credit-line",
            arm=Arm(model="credit-line@2", package_sha256=shadow.sha256, role=Role.SHADOW, share_bp=0),
            scorer=ShadowScorer(loader, artifacts, clock),
            **time,
        )
        report = compare(
            database,
            endpoint="credit-line",
            shadow="credit-line@2",
            package_sha256=shadow.sha256,
            cutoff=CUTOFF,
            contract_of=lambda *_: contract,
            **time,
        )
        raw = dict(database.query("SELECT prediction_id, raw_score FROM shadow_scores").rows)

    own = features(rows)[FEATURES].astype(float)
    expected = booster.predict(own, raw_score=True)
    assert [raw[f"p{number}"] for number in range(ROWS)] == np.asarray(expected).tolist()
    assert (done.rows, report.coverage.scored, report.errors) == (ROWS, ROWS, {})

    scores = np.asarray(booster.predict(own))
    adverse, would_be = answered >= CUTOFF, scores >= CUTOFF
    flips = report.disagreement
    assert (flips.to_adverse, flips.to_approved) == ((~adverse & would_be).sum(), (adverse & ~would_be).sum())
    assert min(flips.to_adverse, flips.to_approved) > 0
    # LightGBM's own logistic function may differ from ours in the last bit, which parts ties.
    assert report.spearman == pytest.approx(stats.spearmanr(answered, scores).statistic, abs=1e-9)
    assert report.ks == pytest.approx(stats.ks_2samp(answered, scores).statistic, abs=1e-4)
    conforming = (rows["conforming"] == 1).to_numpy()
    (found,) = [item for item in report.segments if (item.feature, item.segment) == ("conforming", "true")]
    assert found.flips.compared == conforming.sum()
    assert found.flips.to_adverse == (~adverse & would_be & conforming).sum()
