"""The hand-over guide does what it says: its Python is run from top to bottom, and its package is sound."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quicksilver.evaluation_file import read_evaluation
from quicksilver.package_check import check_package
from quicksilver.package_files import evaluation_path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "handover.md"
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)


def applications(n: int = 3_000) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    income, amount = rng.lognormal(10.5, 0.5, n), rng.lognormal(12, 0.4, n)
    delinquencies = np.where(rng.random(n) < 0.1, np.nan, rng.poisson(0.4, n))
    risk = amount / income / 8 + np.nan_to_num(delinquencies) + rng.normal(size=n)
    return pd.DataFrame(
        {
            "opened": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 300, n)), "D"),
            "income": income,
            "loan_amount": amount.round(),
            "loan_to_value": rng.uniform(0.2, 1, n),
            "purpose": rng.choice(["purchase", "refinance", "improvement"], n),
            "bureau_delinquencies_2y": delinquencies,
            "race": rng.choice(["a", "b", None], n),
            "ethnicity": rng.choice(["c", None], n),
            "sex": rng.choice(["female", "male", None], n),
            "bad": (risk > 2).astype(int),
        }
    )


def test_the_guides_python_makes_a_sound_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"rows": applications()}
    assert len(BLOCKS) == 3
    for block in BLOCKS:
        exec(block, scope)  # noqa: S102 - our own guide
    result = check_package(Path("build/credit-line"))
    assert result.sound, result.findings
    assert result.package is not None
    assert result.package.contract.groups == {"applicant": "entity_id"}
    assert result.package.contract.features[0].sensitive
    data = read_evaluation(evaluation_path(Path("build/credit-line")))
    assert data.rows == result.package.reference.rows
    assert data.groups("sex").names == ("female", "male", "unknown")
