"""The cold start beside a naive function's: CPU from the start of the process until it first asks for an event.

    python -m bench.coldstart

Both run under AWS's own runtime client, in turn, and load the same model from the same stub of S3. Ours also reads its
route and verifies the approval's signature there. Writes build/figures/coldstart.json.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench import figures
from bench.contestants import function_path, runtime_client
from bench.execution_environment import ExecutionEnvironment
from bench.model import BenchModel, bench_model
from bench.peer_environments import ROOT, DoesNotInstall
from bench.processes import cores, cpu_us, family, on_core, resident_mib
from bench.runtime_api import RuntimeApi
from bench.stocking import client, function_environment, stock
from bench.stub_aws import StubAws

TAKEN = (
    "CPU of the process from its start until it first asks the Runtime API for an event, byte code compiled before; "
    "fresh processes, the two in turn; medians, the ratio within a turn."
)
OURS = ROOT / "lambdas" / "score"
NAIVE = ROOT / "bench" / "peer_apps" / "naive"
_NAIVE_BUCKET, _NAIVE_KEY = "models", "naive/model.txt"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--starts", type=int, default=7)
    chosen = parser.parse_args()
    content = measure(chosen.starts)
    _show(content)
    print(f"\nwritten: {figures.write('coldstart', content, taken=TAKEN)}")


def measure(starts: int) -> dict[str, Any]:
    model = bench_model()
    with on_core(cores()[1]), StubAws() as aws:
        stock(aws, model)
        ours = {**function_environment(aws), "PYTHONPATH": function_path()}
        contestants: dict[str, Callable[[], dict[str, float]]] = {
            "Quicksilver": lambda: _start(OURS, ours, runtime_client("lambda"))
        }
        reason = ""
        try:
            client = runtime_client("naive")
        except DoesNotInstall as error:
            reason = f"does not install here: {error}"
        else:
            naive = _naive_environment(aws, model)
            contestants["naive"] = lambda: _start(NAIVE, naive, client)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
        for turn in range(starts + 1):
            for name, start in contestants.items():
                taken = start()
                if turn:  # the first one compiles byte code and fills the page cache
                    found[name].append(taken)
        imports = import_us(ours)
    content: dict[str, Any] = {
        "cpu_ratio_vs_naive": None,
        "rows": {name: _medians(taken) for name, taken in found.items()},
        "imports_us": imports,
        "starts": starts,
    }
    if reason:
        content["naive_reason"] = reason
    else:
        pairs = zip(found["Quicksilver"], found["naive"], strict=True)
        content["cpu_ratio_vs_naive"] = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in pairs)
    return content


def _start(folder: Path, environment: Mapping[str, str], command: tuple[str, ...]) -> dict[str, float]:
    """Start a function once and end it: what its init phase took."""
    with RuntimeApi() as api:
        function = ExecutionEnvironment(api, environment=environment, folder=folder, command=command)
        with on_core(cores()[0]):
            started = time.perf_counter_ns()
            function.start()
            ready = time.perf_counter_ns()
        # The process now waits for an event, so nothing is added to its CPU.
        pids = family(function.pid)
        taken = {
            "cpu_us": cpu_us(pids),
            "elapsed_us": (ready - started) / 1_000,
            "resident_mib": resident_mib(pids),
        }
        function.stop()
    return taken


def _naive_environment(aws: StubAws, model: BenchModel) -> dict[str, str]:
    client(aws, "s3").put_object(Bucket=_NAIVE_BUCKET, Key=_NAIVE_KEY, Body=model.package.model_text)
    return {
        **aws.environment,
        "NAIVE_BUCKET": _NAIVE_BUCKET,
        "NAIVE_KEY": _NAIVE_KEY,
        "POWERTOOLS_SERVICE_NAME": "naive",
        "POWERTOOLS_METRICS_NAMESPACE": "Naive",
        # On Lambda the daemon's address is always there; sending a datagram to nobody costs the same.
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:9",
        "MPLCONFIGDIR": str(ROOT / ".local" / "tmp"),
    }


def import_us(environment: Mapping[str, str]) -> dict[str, int]:
    """Where our imports' time goes: each top-level package's own, the largest first (python -X importtime)."""
    command = [runtime_client("lambda")[0], "-X", "importtime", "-c", "import handler"]
    variables = {**environment, "PATH": os.environ["PATH"]}
    variables["PYTHONPATH"] = os.pathsep.join([str(OURS), variables["PYTHONPATH"]])
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120, check=True)
    return parse_importtime(done.stderr)


def parse_importtime(text: str) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for line in re.findall(r"^import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", text, re.MULTILINE):
        totals[line[1].partition(".")[0]] += int(line[0])
    # The handler's own time is no import: it is the wiring, and the loading of the model.
    totals.pop("handler", None)
    return dict(totals.most_common(10))


def _medians(taken: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(one[key] for one in taken) for key in taken[0]}


def _show(content: dict[str, Any]) -> None:
    table = figures.table("init phase", "", "CPU ms", "elapsed ms", "memory MiB")
    for name, row in content["rows"].items():
        cells = (row["cpu_us"] / 1_000, row["elapsed_us"] / 1_000, row["resident_mib"])
        table.add_row(name, *(f"{value:,.0f}" for value in cells))
    if reason := content.get("naive_reason"):
        table.add_row(f"naive: {reason}", "", "", "", style="dim")
    figures.show(table)
    if content["cpu_ratio_vs_naive"] is not None:
        print(f"CPU of the naive function's: {content['cpu_ratio_vs_naive']:.3f}   (aim: at most 0.167)")
    imports = figures.table("imports of ours", "package", "own ms")
    for name, used in content["imports_us"].items():
        imports.add_row(name, f"{used / 1_000:.1f}")
    figures.show(imports)


if __name__ == "__main__":
    main()
