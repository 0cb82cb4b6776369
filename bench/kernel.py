"""Contributions by the native kernel beside LightGBM's own pred_contrib: CPU per row, and how far they differ.

    python -m bench.kernel

Both are called as the evaluator calls them, one row at a time, in turn, in one thread. Other explainers are printed
beside them, each against pred_contrib in its own process. Writes build/figures/kernel.json.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench import figures
from bench.explainers import EXPLAINERS, explainer_row
from bench.model import LEAVES, bench_model
from bench.processes import cores, on_core
from quicksilver.evaluator import LightGBMEvaluator

Explain = Callable[[Sequence[float]], Sequence[float]]
"""Contributions of one vector: one for each feature, then the expected value."""

TAKEN = (
    "CPU of the calling thread per row, one thread, rows in turn between the two; medians over rows, the ratio within "
    "a row. Difference: the largest of a row over its largest |contribution|, then the largest of all rows."
)
EXPLAINER_ROWS = 25


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--without-peers", action="store_true", help="leave the other explainers out")
    chosen = parser.parse_args()
    content: dict[str, Any] = {"rows": {}}
    with on_core(cores()[0]):
        for trees in (500, 2_000):
            model = bench_model(trees)
            # Rows with the larger model take four times as long; they say as much with fewer.
            vectors = model.vectors[: chosen.rows * 500 // trees]
            content["rows"][f"{trees}x{LEAVES}"] = compare(
                _kernel(model.package.model_text), lightgbm_contributions(model.package.model_text), vectors
            )
        content.update(headline(content["rows"]))
        if not chosen.without_peers:
            content["explainers"] = {EXPLAINERS[peer]: _explainer(peer) for peer in EXPLAINERS}
    _show(content)
    print(f"\nwritten: {figures.write('kernel', content, taken=TAKEN)}")


def _explainer(peer: str) -> dict[str, Any]:
    """An explainer on the bench model, or without its categorical splits if it knows no such."""
    model = bench_model()
    row = explainer_row(peer, model.package.model_text, model.vectors[:EXPLAINER_ROWS])
    if "reason" not in row or not row["installed"]:
        return row
    model = bench_model(categorical=False)
    plain = explainer_row(peer, model.package.model_text, model.vectors[:EXPLAINER_ROWS])
    if "reason" in plain:
        return plain
    return {
        **plain,
        "note": ", ".join(filter(None, [plain["note"], "no categorical splits, so without them"])),
    }


def compare(ours: Explain, theirs: Explain, vectors: Sequence[Sequence[float]]) -> dict[str, float]:
    """CPU per row (us) of both, and how far their contributions differ."""
    for vector in vectors[:3]:
        ours(vector), theirs(vector)
    ours_us, theirs_us, differences = [], [], []
    for number, vector in enumerate(vectors):
        # Who comes second finds the row in the cache, so they take turns.
        order = (ours, theirs) if number % 2 == 0 else (theirs, ours)
        answers = {explain: _timed(explain, vector) for explain in order}
        (ours_cpu, mine), (theirs_cpu, reference) = answers[ours], answers[theirs]
        ours_us.append(ours_cpu)
        theirs_us.append(theirs_cpu)
        largest = max(abs(value) for value in reference[:-1])
        differences.append(max(abs(a - b) for a, b in zip(mine, reference, strict=True)) / largest)
    return {
        "kernel_us": statistics.median(ours_us),
        "pred_contrib_us": statistics.median(theirs_us),
        "ratio": statistics.median(theirs / ours for ours, theirs in zip(ours_us, theirs_us, strict=True)),
        "max_rel_diff": max(differences),
        "rows": len(vectors),
    }


def headline(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """The figures that are aimed at."""
    return {
        "ratio_vs_pred_contrib": rows[f"500x{LEAVES}"]["ratio"],
        "ratio_2000x63": rows[f"2000x{LEAVES}"]["ratio"],
        "max_rel_diff": max(row["max_rel_diff"] for row in rows.values()),
    }


def lightgbm_contributions(model_text: bytes) -> Explain:
    """LightGBM's own contributions, by its C API with FastConfig."""
    evaluator: Any = LightGBMEvaluator(model_text)
    own: Explain = evaluator.lightgbm_contributions
    return own


def _kernel(model_text: bytes) -> Explain:
    try:
        module = importlib.import_module("quicksilver.kernel")
    except ImportError as error:
        sys.exit(f"There is no kernel to measure yet: quicksilver.kernel cannot be imported ({error}).")
    explain: Explain = module.Kernel(model_text).contributions
    return explain


def _timed(explain: Explain, vector: Sequence[float]) -> tuple[float, Sequence[float]]:
    started = time.thread_time_ns()
    given = explain(vector)
    return (time.thread_time_ns() - started) / 1_000, given


def _show(content: dict[str, Any]) -> None:
    table = figures.table(
        "contributions of one row", "", "CPU us", "pred_contrib us", "times as fast", "max rel. diff"
    )
    for size, row in content["rows"].items():
        table.add_row(
            f"kernel, {size}", f"{row['kernel_us']:,.0f}", f"{row['pred_contrib_us']:,.0f}", f"{row['ratio']:.1f}",
            f"{row['max_rel_diff']:.1e}", style="bold",
        )  # fmt: skip
    for name, row in content.get("explainers", {}).items():
        title = f"{name} {row['release']}"
        if reason := row.get("reason"):
            table.add_row(f"{title}\n{reason}", "", "", "", "", style="dim")
            continue
        title += f"\n({row['note']})" if row["note"] else ""
        for label, used in (
            (title, row["median_us"]),
            (f"  {row['batch_rows']} rows at once", row["batch_us"]),
        ):
            table.add_row(
                label, f"{used:,.0f}", f"{row['pred_contrib_us']:,.0f}", f"{row['pred_contrib_us'] / used:.2g}",
                f"{row['max_rel_diff']:.1e}",
            )  # fmt: skip
    figures.show(table)
    print("aims: at least 8 times as fast with 500 trees, 6 with 2,000; difference at most 1e-12")


if __name__ == "__main__":
    main()
