"""Quicksilver beside the servers people choose, one run, one core: CPU and latency of an explained request.

    python -m bench.peers fastapi flask mlserver bentoml

Every peer makes the same decision (peer_apps/decide.py) in its own framework and environment. One that does not
install or start here is a row that says why. Writes build/figures/peers.json and peers.png.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import figures
from bench.contestants import PEERS, NoAnswer, QuicksilverFunction, http_peer
from bench.model import bench_model
from bench.peer_environments import DoesNotInstall, release
from bench.processes import cores, on_core, resident_mib
from bench.rounds import Lane, run
from bench.stocking import stock
from bench.stub_aws import StubAws
from bench.traffic import calls

TAKEN = (
    "CPU: all processes of the contestant, all threads, work after the answer included. Latency: from handing the event "
    "out until the response arrives at the Runtime API (Quicksilver), from request to answer over a kept connection "
    "(peers). Memory: proportional set size after the run. One request at a time; medians, ratios within a round."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("peers", nargs="*", help=f"of {', '.join(PEERS)}; all of them if none is named")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--block", type=int, default=40, help="requests of one contestant in a round")
    chosen = parser.parse_args()
    if unknown := set(chosen.peers) - set(PEERS):
        parser.error(f"there is no peer {min(unknown)}; there are {', '.join(PEERS)}")
    content = measure(chosen.peers or PEERS, chosen.rounds, chosen.block)
    _show(content)
    path = figures.write("peers", content, taken=TAKEN)
    print(f"\nwritten: {path} and {_chart(content, path.with_suffix('.png'))}")


def measure(peers: Sequence[str], rounds: int, block: int) -> dict[str, Any]:
    model = bench_model()
    wanted = calls(model)
    rows: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_core(cores()[1]))
        aws = stack.enter_context(StubAws())
        stock(aws, model)
        ours = Lane("Quicksilver", stack.enter_context(QuicksilverFunction(aws)))
        lanes = [ours]
        for peer in peers:
            rows[peer] = {"release": release(peer, peer)}
            try:
                server = stack.enter_context(http_peer(peer, aws, model))
                server.call(wanted[0], explain=True)
            except DoesNotInstall as error:
                rows[peer]["reason"] = f"does not install here: {error}"
            except NoAnswer as error:
                rows[peer]["reason"] = f"does not run here: {str(error).strip().splitlines()[-1][:160]}"
            else:
                lanes.append(Lane(peer, server))
        run(lanes, wanted, rounds=rounds, block=block)
        measured = {lane.name: {**rows.get(lane.name, {}), **_row(lane, ours)} for lane in lanes}
    return {
        "rows": {"Quicksilver": measured.pop("Quicksilver"), **rows, **measured},
        "requests": rounds * block,
    }


def _row(lane: Lane, ours: Lane) -> dict[str, Any]:
    return {
        "cpu_us": lane.cpu,
        "p50_us": lane.p50,
        "p99_us": lane.p99,
        "cpu_ratio_vs_quicksilver": lane.cpu_ratio(ours),
        "resident_mib": resident_mib(lane.contestant.pids),
    }


def _show(content: dict[str, Any]) -> None:
    table = figures.table(
        "one explained request", "", "CPU ms", "p50 ms", "p99 ms", "CPU, Quicksilver = 1", "memory MiB"
    )
    for name, row in content["rows"].items():
        title = f"{name} {row.get('release', '')}".strip()
        if reason := row.get("reason"):
            table.add_row(f"{title}: {reason}", style="dim")
            continue
        times = (f"{row[key] / 1_000:.2f}" for key in ("cpu_us", "p50_us", "p99_us"))
        table.add_row(title, *times, f"{row['cpu_ratio_vs_quicksilver']:.2f}", f"{row['resident_mib']:,.0f}")
    figures.show(table)


def _chart(content: dict[str, Any], path: Path) -> Path:
    """Bars of CPU per explained request, Quicksilver's being 1."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = {
        name: row["cpu_ratio_vs_quicksilver"] for name, row in content["rows"].items() if "reason" not in row
    }
    figure, axes = plt.subplots(figsize=(8, 0.6 + 0.5 * len(rows)), layout="constrained")
    colours = ["#1f6f8b" if name == "Quicksilver" else "#b8bfc6" for name in rows]
    bars = axes.barh(list(rows), list(rows.values()), color=colours)
    axes.bar_label(bars, labels=[f"{value:.1f} x" for value in rows.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlabel("CPU per explained request, all processes; Quicksilver = 1")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    figure.savefig(path, dpi=144)
    plt.close(figure)
    return path


if __name__ == "__main__":
    main()
