"""The measured tables of docs/performance.md, as Markdown, from build/figures/*.json.

    python -m bench.report

A bench that was not run leaves a sentence in the place of its table.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench import figures

Figures = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--figures", type=Path, default=figures.FIGURES)
    print(report(parser.parse_args().figures))


def report(folder: Path) -> str:
    """Every section, in the order of the page."""
    parts = []
    for name, render in SECTIONS.items():
        found = figures.read(name, folder)
        parts.append(render(found) if found else f"`{name}` was not measured: run its bench first.")
    return "\n\n".join(parts)


def kernel(found: Figures) -> str:
    rows = [
        [
            f"kernel, {size}",
            _us(row["kernel_us"]),
            _us(row["pred_contrib_us"]),
            f"{row['ratio']:.1f}",
            _small(row),
        ]
        for size, row in found["rows"].items()
    ]
    for name, row in found.get("explainers", {}).items():
        title = f"{name} {row['release']}"
        if reason := row.get("reason"):
            rows.append([title, reason, "", "", ""])
            continue
        note = f" ({row['note']})" if row.get("note") else ""
        for label, used in (("", row["median_us"]), (f", {row['batch_rows']} rows at once", row["batch_us"])):
            ratio = row["pred_contrib_us"] / used
            rows.append(
                [title + label + note, _us(used), _us(row["pred_contrib_us"]), f"{ratio:.2g}", _small(row)]
            )
    return _section(
        "Kernel", found, ["", "CPU us", "pred_contrib us", "times as fast", "largest difference"], rows
    )


def handler(found: Figures) -> str:
    rows = [
        [
            name,
            *(
                _ms(row[mode][key])
                for mode in ("explained", "score_only")
                for key in ("cpu_us", "p50_us", "p99_us")
            ),
        ]
        for name, row in found["rows"].items()
    ]
    columns = ["ms", "explained: CPU", "p50", "p99", "score only: CPU", "p50", "p99"]
    facts = [
        f"- CPU of FastAPI's, explained: {found['explained_cpu_ratio_vs_fastapi']:.3g} (bare: {found['explained_cpu_ratio_vs_fastapi_bare']:.3g})",
        f"- CPU of FastAPI's, score only: {found['score_cpu_ratio_vs_fastapi']:.3g} (bare: {found['score_cpu_ratio_vs_fastapi_bare']:.3g})",
        f"- p99 / p50, explained: {found['p99_over_p50']:.3g}",
        f"- p50 with every Kinesis call {found['kinesis_delayed_ms']} ms late: {found['kinesis_delay_p50_shift']:+.1%}",
    ]
    if found["score_only_is_explained"]:
        facts.append("- the function explained every request: its score-only figures are explained ones")
    return _section("Whole function", found, columns, rows) + "\n\n" + "\n".join(facts)


def coldstart(found: Figures) -> str:
    rows = [
        [name, _ms(row["cpu_us"], 0), _ms(row["elapsed_us"], 0), f"{row['resident_mib']:,.0f}"]
        for name, row in found["rows"].items()
    ]
    ratio = found["cpu_ratio_vs_naive"]
    said = f"CPU of the naive function's: {ratio:.3g}." if ratio else f"naive {found['naive_reason']}."
    imports = ", ".join(f"{name} {_ms(used)}" for name, used in found["imports_us"].items())
    section = _section("Cold start", found, ["", "CPU ms", "elapsed ms", "memory MiB"], rows)
    return f"{section}\n\n{said} Our imports, own time in ms: {imports}."


def peers(found: Figures) -> str:
    rows = []
    for name, row in found["rows"].items():
        title = f"{name} {row.get('release', '')}".strip()
        if reason := row.get("reason"):
            rows.append([title, reason, "", "", "", ""])
            continue
        times = [_ms(row[key]) for key in ("cpu_us", "p50_us", "p99_us")]
        rows.append([title, *times, f"{row['cpu_ratio_vs_quicksilver']:.2f}", f"{row['resident_mib']:,.0f}"])
    columns = ["", "CPU ms", "p50 ms", "p99 ms", "CPU, Quicksilver = 1", "memory MiB"]
    return _section("Peers", found, columns, rows)


def gate(found: Figures) -> str:
    rows = [
        [name, f"{step['elapsed_seconds']:.2f}", f"{step['cpu_seconds']:.2f}"]
        for name, step in found["steps"].items()
    ]
    rows.append(["whole", f"{found['elapsed_seconds']:.2f}", ""])
    return "### Gate run\n\n" + _table(["step", "elapsed s", "CPU s"], rows)


SECTIONS: dict[str, Callable[[Figures], str]] = {
    "kernel": kernel,
    "handler": handler,
    "coldstart": coldstart,
    "peers": peers,
    "gate": gate,
}
"""What the page shows, by the name of the figures."""


def _section(title: str, found: Figures, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    machine = found["machine"]
    where = f"{machine['processor']}, Python {machine['python']}"
    return f"### {title}\n\n{_table(columns, rows)}\n\n{found['taken']} Machine: {where}."


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] + ["---:"] * (len(columns) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _us(value: float) -> str:
    return f"{value:,.0f}"


def _ms(value: float, digits: int = 2) -> str:
    return f"{value / 1_000:,.{digits}f}"


def _small(row: Figures) -> str:
    return f"{row['max_rel_diff']:.0e}"


if __name__ == "__main__":
    main()
