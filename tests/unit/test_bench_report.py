"""The page's tables come from the figures, and a bench that was not run is said to be missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import figures
from bench.report import SECTIONS, report

ROW = {"cpu_us": 2_000.0, "p50_us": 3_000.0, "p99_us": 4_000.0}
KERNEL_ROW = {
    "kernel_us": 800.0,
    "pred_contrib_us": 10_000.0,
    "ratio": 12.5,
    "max_rel_diff": 9e-15,
    "rows": 200,
}

FOUND: dict[str, dict[str, Any]] = {
    "kernel": {
        "ratio_vs_pred_contrib": 12.5,
        "ratio_2000x63": 11.0,
        "max_rel_diff": 9e-15,
        "rows": {"500x63": KERNEL_ROW},
        "explainers": {
            "shap": {"release": "0.50.0", "note": "", "median_us": 11_000.0, "batch_us": 10_000.0, "batch_rows": 25,
                     "pred_contrib_us": 10_000.0, "max_rel_diff": 0.0},
            "woodelf-explainer": {"release": "0.4.8", "reason": "does not install here: no wheel"},
        },
    },
    "handler": {
        "explained_cpu_ratio_vs_fastapi": 0.15,
        "score_cpu_ratio_vs_fastapi": 0.5,
        "explained_cpu_ratio_vs_fastapi_bare": 0.2,
        "score_cpu_ratio_vs_fastapi_bare": 0.9,
        "p99_over_p50": 1.4,
        "kinesis_delay_p50_shift": 0.01,
        "kinesis_delayed_ms": 300,
        "score_only_is_explained": False,
        "rows": {"Quicksilver": {"explained": ROW, "score_only": ROW}},
    },
    "coldstart": {
        "cpu_ratio_vs_naive": 0.15,
        "rows": {"naive": {"cpu_us": 2e6, "elapsed_us": 3e6, "resident_mib": 240.0}},
        "imports_us": {"pydantic": 60_000},
    },
    "peers": {"rows": {
        "Quicksilver": {**ROW, "cpu_ratio_vs_quicksilver": 1.0, "resident_mib": 60.0},
        "mlserver": {"release": "1.7.1", "reason": "does not install here: no wheel"},
    }},
    "gate": {"steps": {"bias": {"elapsed_seconds": 1.0, "cpu_seconds": 1.5}}, "elapsed_seconds": 1.0},
}  # fmt: skip


def test_every_section_renders_from_its_figures(tmp_path: Path) -> None:
    for name, content in FOUND.items():
        figures.write(name, content, taken="Taken for a test.", folder=tmp_path)
    page = report(tmp_path)
    assert "| kernel, 500x63 | 800 | 10,000 | 12.5 | 9e-15 |" in page
    assert "| woodelf-explainer 0.4.8 | does not install here: no wheel |" in page
    assert "| Quicksilver | 2.00 | 3.00 | 4.00 | 2.00 | 3.00 | 4.00 |" in page
    assert "300 ms late: +1.0%" in page
    assert "| mlserver 1.7.1 | does not install here: no wheel |" in page
    assert "was not measured" not in page


@pytest.mark.parametrize("name", SECTIONS)
def test_a_bench_that_was_not_run_is_said_to_be_missing(name: str, tmp_path: Path) -> None:
    assert f"`{name}` was not measured" in report(tmp_path)
