"""Training sets and requests for the tests of retraining."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from quicksilver.contract import Contract
from quicksilver.retraining.request import Evidence, RetrainRequest, TrainingSet

START_MS = 1_760_000_000_000
MINUTE_MS = 60_000

SET = pa.schema(
    {
        "prediction_id": pa.string(),
        "time": pa.timestamp("us"),
        "vector": pa.list_(pa.float64()),
        "label": pa.bool_(),
        "groups": pa.map_(pa.string(), pa.string()),
        "degraded": pa.list_(
            pa.struct({"feature": pa.string(), "cause": pa.string(), "policy": pa.string()})
        ),
    }
)


def set_file(
    vectors: Any,
    labels: Any,
    *,
    groups: Sequence[Mapping[str, str]] | None = None,
    degraded: Mapping[int, Mapping[str, str]] | None = None,
    shuffle: int | None = None,
    **columns: Any,
) -> bytes:
    """A training set as the archive's query answers it, a row each minute. ``degraded`` is cause by feature, by row."""
    count = len(vectors)
    rows: dict[str, Any] = {
        "prediction_id": [f"p-{row:07d}" for row in range(count)],
        "time": [1_000 * (START_MS + row * MINUTE_MS) for row in range(count)],
        "vector": [[None if v != v else v for v in row] for row in np.asarray(vectors).tolist()],
        "label": [bool(label) for label in labels],
        "groups": [list(each.items()) for each in groups or [{}] * count],
    }
    if degraded is not None:
        rows["degraded"] = [
            [{"feature": f, "cause": c, "policy": "missing"} for f, c in degraded.get(row, {}).items()]
            for row in range(count)
        ]
    rows |= columns
    table = pa.table(
        {name: pa.array(rows[name], type=SET.field(name).type) for name in rows if rows[name] is not None}
    )
    if shuffle is not None:
        table = table.take(np.random.default_rng(shuffle).permutation(count))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "set.parquet")
        pq.write_table(table, file)
        return file.read_bytes()


def request_for(contract: Contract, **changes: Any) -> RetrainRequest:
    usual: dict[str, Any] = {
        "id": f"{contract.endpoint}-000001",
        "stage": "local",
        "endpoint": contract.endpoint,
        "champion": f"{contract.endpoint}@1",
        "requested_at": "2025-12-01T00:00:00.000Z",
        "reason": "3 windows alarmed.",
        "evidence": [
            Evidence(
                kind="drift", window="w", start="2025-11-30T00:00:00.000Z", end="2025-12-01T00:00:00.000Z",
                sentences=("amount: the distribution moved.",),
            )
        ],
        "training_set": TrainingSet(
            start="2025-10-09T08:53:20.000Z", end="2025-12-01T00:00:00.000Z",
            fingerprint=contract.fingerprint, sql="SELECT 1",
        ),
    }  # fmt: skip
    return RetrainRequest.model_validate({**usual, **changes})
