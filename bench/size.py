"""What a score function carries, unzipped: its handler and its layers, for each of Lambda's processors.

    python -m bench.size

Prints a table and writes build/figures/size.json. Counts the layers as they are built (``make layers``).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from layers.build import CARRIED_BY_ALL, layer_sizes
from layers.native_kernel import LAMBDA_TARGETS
from layers.weight import unzipped_bytes

HANDLER = Path(__file__).resolve().parents[1] / "lambdas" / "score"
BUDGET_MIB = 40
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/figures/size.json"))
    chosen = parser.parse_args()
    handler = unzipped_bytes(HANDLER, without=("__pycache__",))
    parts = {
        target: {"handler": handler, **layer_sizes(target, CARRIED_BY_ALL)}
        for target in sorted(LAMBDA_TARGETS)
    }
    totals = {target: sum(sizes.values()) / MIB for target, sizes in parts.items()}

    table = Table(title=f"A score function with its layers, unzipped MiB (budget {BUDGET_MIB})")
    table.add_column("processor")
    for column in (*next(iter(parts.values())), "total"):
        table.add_column(column, justify="right")
    for target, sizes in parts.items():
        table.add_row(target, *(f"{size / MIB:.2f}" for size in sizes.values()), f"{totals[target]:.2f}")
    Console().print(table)

    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    content = {f"{target}_mib": round(total, 2) for target, total in totals.items()}
    chosen.out.write_text(json.dumps({**content, "budget_mib": BUDGET_MIB}, indent=2) + "\n")


if __name__ == "__main__":
    main()
