"""One drift run over 1 to 10 million predictions of a day: seconds and memory, each in a fresh process.

    python -m bench.drift_scale [--rows 1000000 ...]

40 features and their contributions, in the archive's layout and columns, as DuckDB writes Parquet; generated once into
.local/drift_scale, outside the timing. A run opens the archive, counts, judges, draws the page and leaves the documents.
Prints a table and writes build/figures/drift_scale.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from rich.console import Console
from rich.progress import track

from bench import figures
from quicksilver.archive import HOUR_MS, PREDICTIONS, hour_folder
from quicksilver.archive_folder import FolderArchive
from quicksilver.column_types import duckdb_type
from quicksilver.contract import Contract
from quicksilver.drift.judgement import judge
from quicksilver.drift.result import WindowResult
from quicksilver.drift.run import DriftRun
from quicksilver.drift.window_judge import WindowJudge
from quicksilver.drift_policy import DriftPolicy
from quicksilver.frame import Encoded
from quicksilver.memory import (
    ManualClock,
    MemoryArtifactStore,
    MemoryMetrics,
    MemoryMonitoringStore,
    MemoryRollupStore,
)
from quicksilver.monitoring import Kind
from quicksilver.package import CONTRACT, MANIFEST, REFERENCE, REQUIRED_FILES, seal, sha256_hex
from quicksilver.profile_builder import build_profile
from quicksilver.reports.drift_page import judged_page
from quicksilver.sql.engine import DuckDBEngine

ROWS = (1_000_000, 2_500_000, 5_000_000, 10_000_000)
FEATURES, CATEGORIES, ENTITIES = 40, 4, 2_000_000
REFERENCE_ROWS = 50_000
HOURS = 24
PART_ROWS = 500_000
"""Of a whole day: each size is so many parts of each hour, as Firehose leaves several objects an hour."""

START_MS = 1_767_225_600_000
FOLDER = Path(".local/drift_scale")
MODEL, ENDPOINT = "card-fraud@1", "card-fraud"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=list(ROWS))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(run(day_of(chosen.one))))
        return
    prepare(max(chosen.rows))
    found = [_fresh(rows) for rows in chosen.rows]
    _show(found)
    _write(found)


# -- the archive --


def prepare(rows: int) -> None:
    """Have the parts of every hour. What is there is not made again."""
    parts = [(part, hour) for part in range(-(-rows // PART_ROWS)) for hour in range(HOURS)]
    missing = [each for each in parts if not _part(*each).exists()]
    for part, hour in track(missing, "generating predictions", console=Console(stderr=True)):
        _generate(part, hour)


def day_of(rows: int) -> Path:
    """An archive of a day with so many rows: links to the parts."""
    folder = FOLDER / f"day-{rows}"
    shutil.rmtree(folder, ignore_errors=True)
    for hour in range(HOURS):
        target = folder / PREDICTIONS.folder(ENDPOINT) / hour_folder(START_MS + hour * HOUR_MS)
        target.mkdir(parents=True)
        for part in range(rows // PART_ROWS):
            (target / f"{part:02d}.parquet").hardlink_to(_part(part, hour))
    return folder


def _part(part: int, hour: int) -> Path:
    return FOLDER / "parts" / f"{hour:02d}-{part:02d}.parquet"


def _generate(part: int, hour: int) -> None:
    file = _part(part, hour)
    file.parent.mkdir(parents=True, exist_ok=True)
    values = ", ".join(map(_drawn, range(FEATURES)))
    contributions = ", ".join("round(random() - 0.5, 6)" for _ in range(FEATURES))
    said = {
        "prediction_id": "CAST(uuid() AS VARCHAR)",
        "endpoint": f"'{ENDPOINT}'",
        "entity_id": f"'card_' || CAST(floor(random() * {ENTITIES}) AS BIGINT)",
        "status": "'scored'",
        "score": "pow(random(), 3)",
        "raw_score": "random()",
        "explained_by": "'kernel'",
        "model": f"'{MODEL}'",
        "package_sha256": f"'{package()[0]}'",
        "fingerprint": f"'{contract().fingerprint}'",
        "arm": f"{{'model': '{MODEL}', 'role': 'champion', 'share_bp': 10000, 'holdout': false}}",
        "degraded": "CASE WHEN random() < 0.05 THEN [{'feature': 'f5', 'cause': 'absent', 'policy': 'missing', 'model': null}] "
        "ELSE [] END",
        "time": f"make_timestamp(({START_MS + hour * HOUR_MS} + CAST(floor(random() * {HOUR_MS}) AS BIGINT)) * 1000)",
        "request_id": "CAST(uuid() AS VARCHAR)",
        "vector": f"[{values}]",
        "contributions": f"[{contributions}]",
        "schema_version": "3",
    }
    columns = ", ".join(
        f'CAST({said.get(name, "null")} AS {duckdb_type(kind)}) AS "{name}"'
        for name, kind in PREDICTIONS.columns.items()
    )
    rows = PART_ROWS * (hour + 1) // HOURS - PART_ROWS * hour // HOURS
    unfinished = file.with_suffix(".unfinished")
    copied = f"COPY (SELECT {columns} FROM range({rows})) TO '{unfinished}' (FORMAT parquet)"  # noqa: S608
    duckdb.execute(copied)
    unfinished.rename(file)


def _drawn(place: int) -> str:
    if place < CATEGORIES:
        return "floor(random() * 3)"
    drawn = f"round(-ln(1 - random()) * {20 + place}, 2)"
    return f"CASE WHEN random() < 0.05 THEN null ELSE {drawn} END" if place == 5 else drawn


# -- the model --


def contract() -> Contract:
    def feature(place: int) -> dict[str, Any]:
        kind = (
            {"type": "category", "categories": ["a", "b", "c"]} if place < CATEGORIES else {"type": "number"}
        )
        said = {
            "source": "request",
            "missing": "missing",
            "reason_code": f"F{place}",
            "reason": "It is unusual.",
        }
        return {"name": f"f{place}", **kind, **said}

    return Contract.model_validate({"endpoint": ENDPOINT, "features": [feature(n) for n in range(FEATURES)]})


def package() -> tuple[str, dict[str, bytes]]:
    """The SHA-256 and the files of a package whose reference is drawn as the archive is."""
    random = np.random.default_rng(1)
    vectors = np.round(random.exponential(1, (REFERENCE_ROWS, FEATURES)) * (20 + np.arange(FEATURES)), 2)
    vectors[:, :CATEGORIES] = random.integers(0, 3, (REFERENCE_ROWS, CATEGORIES))
    vectors[random.random(REFERENCE_ROWS) < 0.05, 5] = np.nan
    nothing = np.zeros(vectors.shape, bool)
    profile = build_profile(
        contract(), Encoded(vectors, nothing, nothing[:, 0], {}), random.random(REFERENCE_ROWS) ** 3
    )
    files = dict.fromkeys(REQUIRED_FILES, b"") | {
        CONTRACT: contract().canonical_json,
        REFERENCE: profile.canonical_json,
    }
    sealed = seal(ENDPOINT, contract().fingerprint, files)
    return sha256_hex(sealed[MANIFEST]), sealed


# -- one run --


class _Nobody:
    """Neither trigger nor announcements: they read documents, and no predictions."""

    def consider(self, _endpoint: str) -> None:
        return None

    def catch_up(self, _endpoint: str) -> int:
        return 0


def run(folder: Path) -> dict[str, Any]:
    """A drift run over the day in a folder, in this process."""
    clock = ManualClock(START_MS + (HOURS + 1) * HOUR_MS)
    artifacts, store = MemoryArtifactStore(), MemoryMonitoringStore()
    artifacts.put(*package())
    judged = WindowJudge(
        policy=DriftPolicy(endpoint=ENDPOINT, version=1, catch_up_days=1, segments=("f0",)),
        cutoff=0.5,
        engine=DuckDBEngine(FolderArchive(folder), FOLDER),
        rollup=MemoryRollupStore(),
        artifacts=artifacts,
        monitoring=store,
        clock=clock,
        judge=judge,
    )
    begun, cpu_begun = time.perf_counter(), time.process_time()
    said = DriftRun(
        judges=[judged],
        page=judged_page,
        trigger=_Nobody(),
        announcements=_Nobody(),
        metrics=MemoryMetrics(),
    ).run()
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - cpu_begun
    (name,) = store.names(Kind.DRIFT, ENDPOINT)
    result = WindowResult.model_validate_json(store.get(Kind.DRIFT, ENDPOINT, name) or b"")
    if said != {ENDPOINT: "1 window judged"} or not result.findings:
        raise RuntimeError(f"The run did not judge the day: {said}.")
    return {
        "rows": result.counts.archived,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        # Linux counts in KiB: getrusage(2).
        "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024,
        "effective_rows": result.counts.arms[0].effective_rows,
        "alarms": len(result.alarms),
    }


def _fresh(rows: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.drift_scale", "--one", str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _show(found: Sequence[dict[str, Any]]) -> None:
    table = figures.table(
        "A drift run over a day, 40 features", "", "seconds", "CPU s", "us a row", "max RSS MiB"
    )
    for each in found:
        table.add_row(
            f"{each['rows']:,} predictions",
            f"{each['seconds']:.1f}",
            f"{each['cpu_seconds']:.1f}",
            f"{each['seconds'] * 1e6 / each['rows']:.2f}",
            f"{each['max_rss_mib']:,.0f}",
        )
    figures.show(table)


def _write(found: Sequence[dict[str, Any]]) -> None:
    content = {
        name: [each[name] for each in found] for name in ("rows", "seconds", "cpu_seconds", "max_rss_mib")
    }
    figures.write(
        "drift_scale",
        content,
        taken="python -m bench.drift_scale: one whole drift run over a day in Parquet, each in a fresh process, "
        "the archive generated before",
    )


if __name__ == "__main__":
    main()
