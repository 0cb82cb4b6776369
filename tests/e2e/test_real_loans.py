"""Real loans: train, pack, register under ``credit-line``, and score 1,000 held-out ones through the API.

The expected vectors are built here with pandas, not by the contract, so the two ways must agree.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pandas as pd
import pytest

from quicksilver.contract import Contract
from quicksilver.packing import pack
from quicksilver.ports import FeatureKey, FeatureRow
from tests.local_stack import eventually

if TYPE_CHECKING:
    from tests.local_stack import LocalStack

DATA = Path(
    os.environ.get("QUICKSILVER_REAL_DATA", Path(__file__).resolve().parents[3] / "shared" / "data")
).joinpath("feast_aws_credit")

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the folder with real data is absent"),
]

HELD_OUT = 1_000
REQUEST_NUMBERS = ("person_income", "person_emp_length", "loan_amnt", "loan_int_rate")
ZIP_NUMBERS = ("tax_returns_filed", "population", "total_wages")
LONGEST_EMPLOYMENT_YEARS = 60  # the file has a person employed for 123 years


@dataclass
class Loans:
    table: pd.DataFrame
    contract: Contract
    vectors: np.ndarray


@pytest.fixture(scope="module")
def loans() -> Loans:
    loan = pd.read_parquet(DATA / "loan_table.parquet").sort_values("event_timestamp", kind="stable")
    places = pd.read_parquet(DATA / "zipcode_table.parquet").drop(
        columns=["event_timestamp", "created_timestamp"]
    )
    # A person's age is in the file and stays out of the model: it is a protected attribute.
    table = loan.merge(places, on="zipcode", how="left", validate="many_to_one").reset_index(drop=True)
    categories = {
        name: sorted(table[name].dropna().unique())
        for name in ("person_home_ownership", "loan_intent", "location_type", "state")
    }
    contract = Contract.model_validate(
        {
            "endpoint": "credit-line",
            "groups": {"zipcode": "zipcode"},
            "features": [
                *(_feature(n, "number", "missing", minimum=0) for n in REQUEST_NUMBERS if n != "person_emp_length"),
                _feature("person_emp_length", "number", "missing", minimum=0, maximum=LONGEST_EMPLOYMENT_YEARS),
                _feature("person_home_ownership", "category", "reject", categories=categories["person_home_ownership"]),
                _feature("loan_intent", "category", "missing", categories=categories["loan_intent"]),
                *(_feature(n, "integer", "missing", **_ONLINE) for n in ZIP_NUMBERS),
                *(_feature(n, "category", "missing", categories=categories[n], **_ONLINE) for n in ("location_type", "state")),
            ],
        }
    )  # fmt: skip
    columns = []
    for name in contract.names:
        if name in categories:
            codes = pd.Categorical(table[name], categories=categories[name]).codes.astype(float)
            columns.append(np.where(codes < 0, np.nan, codes))
        else:
            columns.append(table[name].to_numpy(dtype=float))
    vectors = np.column_stack(columns)
    years = vectors[:, contract.names.index("person_emp_length")]
    years[years > LONGEST_EMPLOYMENT_YEARS] = np.nan
    return Loans(table, contract, vectors)


_ONLINE: dict[str, Any] = {"source": "online", "group": "zipcode", "max_age_seconds": 86_400}


def _feature(name: str, kind: str, missing: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "source": "request",
        "missing": missing,
        "reason_code": name.upper(),
        "reason": name.replace("_", " "),
        **more,
    }


def _request(loan: Any, contract: Contract) -> dict[str, Any]:
    features = {name: getattr(loan, name) for name in contract.request_features}
    return {
        "entity_id": f"loan_{loan.loan_id}",
        "keys": {"zipcode": f"{loan.zipcode:05d}"},
        "features": features,
    }


def test_every_raw_score_from_the_api_is_lightgbms_own_bit_for_bit(
    local_stack: LocalStack, loans: Loans
) -> None:
    target = loans.table["loan_status"].to_numpy()
    cut = len(target) - HELD_OUT
    booster = lightgbm.train(
        {"objective": "binary", "num_leaves": 63, "verbose": -1, "num_threads": 1, "seed": 1},
        lightgbm.Dataset(
            loans.vectors[:cut],
            target[:cut],
            feature_name=list(loans.contract.names),
            categorical_feature=["person_home_ownership", "loan_intent", "location_type", "state"],
        ),
        num_boost_round=120,
    )
    package = pack(booster, loans.contract, reference=loans.vectors, target=target, golden=100)
    model = local_stack.put_champion(package, "credit-line")

    held_out = loans.table.iloc[cut:]
    places = held_out.drop_duplicates("zipcode")
    now_ms = time.time_ns() // 1_000_000
    local_stack.features.write(
        FeatureRow(
            FeatureKey("zipcode", f"{place.zipcode:05d}"),
            now_ms,
            {
                **{name: int(getattr(place, name)) for name in ZIP_NUMBERS},
                "location_type": str(place.location_type),
                "state": str(place.state),
            },
        )
        for place in places.itertuples()
    )

    requests = [_request(loan, loans.contract) for loan in held_out.itertuples()]
    with ThreadPoolExecutor(2) as callers:
        answers = list(callers.map(lambda request: local_stack.score(request, "credit-line"), requests))
    assert [answer.status for answer in answers] == [200] * HELD_OUT
    assert {answer.content["model"] for answer in answers} == {model}
    expected = np.asarray(booster.predict(loans.vectors[cut:], raw_score=True))
    assert [answer.content["raw_score"] for answer in answers] == expected.tolist()
    # The model is worth something: it tells bad loans from good ones in time it has not seen.
    scores = np.array([answer.content["score"] for answer in answers])
    bad, good = scores[target[cut:] == 1], scores[target[cut:] == 0]
    assert np.mean(bad[:, None] > good[None, :]) > 0.8

    ids = [answer.content["prediction_id"] for answer in answers]
    records = eventually(
        lambda: len(found := local_stack.archived(ids)) >= HELD_OUT and found, "all are archived", seconds=60
    )
    assert sorted(record["prediction_id"] for record in records) == sorted(ids)
