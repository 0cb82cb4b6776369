"""What training a candidate takes: 100,000 and 500,000 rows of 40 features, by the train function's own steps.

    python -m bench.train

Each size is a process of its own, so that its memory is its own. Prints a table and writes build/figures/train.json: elapsed
seconds by step, CPU seconds and the greatest resident memory in MiB, on this machine with ``--threads`` of its processors. On
a machine that others use, take one thread: LightGBM's wait for each other by spinning.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

SIZES = (100_000, 500_000)
FEATURES, CATEGORIES, TREES, LEAVES = 40, 4, 200, 31
LIMIT_SECONDS, LIMIT_MIB = 15 * 60, 10_240


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/figures/train.json"))
    parser.add_argument("--rows", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=Path, help="measure one set, in this process")
    chosen = parser.parse_args()
    if chosen.only:
        print(json.dumps(_measured(chosen.only, chosen.threads)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measured = [_run(Path(folder), rows, chosen.threads) for rows in chosen.rows]
    _show(measured, chosen.threads)
    content = {
        "features": FEATURES,
        "trees": TREES,
        "leaves": LEAVES,
        "threads": chosen.threads,
        "cores": os.cpu_count(),
        "sizes": measured,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(content, indent=2) + "\n")


def _run(folder: Path, rows: int, threads: int) -> dict[str, Any]:
    place = folder / str(rows)
    place.mkdir()
    _write_world(place, rows)
    command = [sys.executable, "-m", "bench.train", "--only", str(place), "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _measured(place: Path, threads: int) -> dict[str, Any]:
    """The steps of ``TrainingRun`` on one set, with nothing but files around them."""
    import io

    from quicksilver.package import open_package
    from quicksilver.retraining.request import RetrainRequest
    from quicksilver.retraining.train import train_candidate
    from quicksilver.retraining.training_set import read_training_set
    from quicksilver.tarball import read_archive, tar_bytes

    champion = open_package(read_archive(io.BytesIO((place / "champion.tar").read_bytes())).__getitem__)
    request = RetrainRequest.model_validate_json((place / "request.json").read_bytes())
    started = time.perf_counter()
    rows = read_training_set((place / "set.parquet").read_bytes(), champion.contract)
    read = time.perf_counter()
    candidate = train_candidate(rows, champion, request, threads=threads)
    archive = tar_bytes(candidate.package.files)
    ended = time.perf_counter()
    return {
        "rows": len(rows),
        "seconds": round(ended - started, 1),
        "cpu_seconds": round(time.process_time(), 1),
        "read_seconds": round(read - started, 1),
        "train_and_pack_seconds": round(ended - read, 1),
        "max_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024),
        "set_mib": round((place / "set.parquet").stat().st_size / 2**20, 1),
        "package_mib": round(len(archive) / 2**20, 1),
        "trees": candidate.result.trees,
    }


def _write_world(place: Path, rows: int) -> None:
    """A champion, a request and a set of that many rows, of which one in twenty is bad."""
    import duckdb
    import lightgbm
    import numpy as np

    from bench.gate import _rows as numbers
    from quicksilver.contract import Contract, Feature, FeatureType, MissingPolicy, Source
    from quicksilver.packing import pack
    from quicksilver.retraining.request import RetrainRequest, TrainingSet
    from quicksilver.tarball import tar_bytes

    kinds = [FeatureType.CATEGORY] * CATEGORIES + [FeatureType.NUMBER] * (FEATURES - CATEGORIES)
    contract = Contract(
        endpoint="bench-train",
        features=tuple(
            Feature(
                name=f"feature_{number:02d}",
                type=kind,
                source=Source.REQUEST,
                missing=MissingPolicy.MISSING,
                categories=tuple(f"c{code}" for code in range(8)) if kind is FeatureType.CATEGORY else (),
                reason_code=f"F{number:02d}",
                reason=f"Feature {number} is unusual",
            )
            for number, kind in enumerate(kinds)
        ),
    )
    vectors, labels = numbers(rows)
    for place_of in range(CATEGORIES):
        vectors[:, place_of] = np.clip(np.floor(vectors[:, place_of] * 1.5 + 4), 0, 7)
    learned = min(rows, 20_000)
    booster = lightgbm.train(
        {
            "objective": "binary",
            "num_leaves": LEAVES,
            "learning_rate": 0.05,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "seed": 7,
            "num_threads": 1,
            "verbosity": -1,
        },
        lightgbm.Dataset(
            vectors[:learned],
            labels[:learned],
            feature_name=list(contract.names),
            categorical_feature=list(range(CATEGORIES)),
        ),
        num_boost_round=TREES,
    )
    champion = pack(booster, contract, reference=vectors[:learned], target=labels[:learned])
    (place / "champion.tar").write_bytes(tar_bytes(champion.files))
    request = RetrainRequest(
        id="bench-train-000001",
        stage="bench",
        endpoint="bench-train",
        champion="bench-train@1",
        requested_at="2026-01-01T00:00:00.000Z",
        reason="A benchmark.",
        evidence=(),
        training_set=TrainingSet(
            start="2025-10-01T00:00:00.000Z",
            end="2026-01-01T00:00:00.000Z",
            fingerprint=contract.fingerprint,
            sql="SELECT 1",
        ),
    )
    (place / "request.json").write_text(request.model_dump_json())
    columns: dict[str, Any] = {
        f"f{number}": np.ma.masked_invalid(vectors[:, number]) for number in range(FEATURES)
    }
    columns |= {"label": labels.astype(bool), "row": np.arange(rows)}
    values = ", ".join(f"f{number}" for number in range(FEATURES))
    with duckdb.connect() as connection:
        connection.register("world", columns)
        connection.execute(
            f"""
            COPY (
                SELECT 'p-' || row AS prediction_id, TIMESTAMP '2025-10-01' + to_seconds(row) AS time,
                    [{values}] AS vector, label, MAP {{'sex': CASE row % 2 WHEN 0 THEN 'f' ELSE 'm' END}} AS groups
                FROM world
            ) TO '{place / "set.parquet"}' (FORMAT parquet)
            """  # noqa: S608 - names and a path of our own
        )


def _show(measured: list[dict[str, Any]], threads: int) -> None:
    table = Table(
        "rows", "read s", "train, pack s", "whole s", "CPU s", "RSS MiB", "set MiB", "trees",
        title=f"{FEATURES} features, {TREES} trees x {LEAVES} leaves, {threads} threads", title_justify="left",
    )  # fmt: skip
    for each in measured:
        table.add_row(
            f"{each['rows']:,}",
            f"{each['read_seconds']:.1f}",
            f"{each['train_and_pack_seconds']:.1f}",
            f"{each['seconds']:.1f} of {LIMIT_SECONDS}",
            f"{each['cpu_seconds']:.1f}",
            f"{each['max_rss_mib']:,} of {LIMIT_MIB:,}",
            f"{each['set_mib']:.1f}",
            str(each["trees"]),
        )
    Console(soft_wrap=True).print(table)


if __name__ == "__main__":
    main()
