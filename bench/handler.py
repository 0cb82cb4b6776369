"""The whole function beside the FastAPI server a team would build: CPU per request, and what callers wait.

    python -m bench.handler

Both validate, read features from the same stub of DynamoDB, score, give reasons and put a record on the same
stub of Kinesis: the function under AWS's own runtime client, the server under uvicorn. One process each on one
core, in the same run, in blocks that alternate. Writes build/figures/handler.json.
"""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from bench import figures
from bench.contestants import QuicksilverFunction, http_peer
from bench.model import bench_model
from bench.processes import cores, on_core
from bench.rounds import Lane, run
from bench.stocking import stock
from bench.stub_aws import StubAws
from bench.traffic import calls

KINESIS_DELAY_MS = 300
TAKEN = (
    "CPU: all threads of the contestant's processes, work after the answer included. Latency: from handing the event "
    "out until the response arrives at the Runtime API (Quicksilver), from request to answer over a kept connection "
    "(FastAPI). One request at a time; medians over rounds, ratios within a round."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--block", type=int, default=40, help="requests of one lane in a round")
    parser.add_argument(
        "--delayed-block", type=int, default=8, help="requests in a block with Kinesis delayed"
    )
    chosen = parser.parse_args()
    content = measure(chosen.rounds, chosen.block, chosen.delayed_block)
    _show(content)
    print(f"\nwritten: {figures.write('handler', content, taken=TAKEN)}")


def measure(rounds: int, block: int, delayed_block: int) -> dict[str, Any]:
    model = bench_model()
    wanted = calls(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_core(cores()[1]))
        aws = stack.enter_context(StubAws())
        stock(aws, model)
        ours = stack.enter_context(QuicksilverFunction(aws))
        theirs = stack.enter_context(http_peer("fastapi", aws, model))
        bare = stack.enter_context(http_peer("fastapi-bare", aws, model))
        explained = [Lane("explained", ours), Lane("explained", theirs), Lane("explained", bare)]
        score_only = [Lane("score only", peer, explain=False) for peer in (ours, theirs, bare)]
        run([*explained, *score_only], wanted, rounds=rounds, block=block)
        # Once more with a slow stream, against blocks without that come as slowly: a function that has slept
        # answers from colder caches, and that is not the stream's doing.
        prompt = Lane("prompt", ours, pause_seconds=KINESIS_DELAY_MS / 1_000)
        slow = Lane(
            "delayed", ours, before=lambda: aws.delay(Kinesis=KINESIS_DELAY_MS), after=lambda: aws.delay()
        )
        run([prompt, slow], wanted, rounds=rounds, block=delayed_block, warm_up=3)
        still_explained = bool(ours.call(wanted[0], explain=False)[1].get("reasons"))
    return {
        "explained_cpu_ratio_vs_fastapi": explained[0].cpu_ratio(explained[1]),
        "score_cpu_ratio_vs_fastapi": score_only[0].cpu_ratio(score_only[1]),
        "explained_cpu_ratio_vs_fastapi_bare": explained[0].cpu_ratio(explained[2]),
        "score_cpu_ratio_vs_fastapi_bare": score_only[0].cpu_ratio(score_only[2]),
        "p99_over_p50": explained[0].p99 / explained[0].p50,
        "kinesis_delay_p50_shift": slow.p50 / prompt.p50 - 1,
        "score_only_is_explained": still_explained,
        "rows": {
            name: {"explained": _row(lane), "score_only": _row(only)}
            for name, lane, only in zip(
                ("Quicksilver", "FastAPI", "FastAPI, bare"), explained, score_only, strict=True
            )
        },
        "kinesis_delayed_ms": KINESIS_DELAY_MS,
        "p50_us_prompt_and_delayed": [prompt.p50, slow.p50],
        "requests_per_lane": rounds * block,
    }


def _row(lane: Lane) -> dict[str, float]:
    return {"cpu_us": lane.cpu, "p50_us": lane.p50, "p99_us": lane.p99}


def _show(content: dict[str, Any]) -> None:
    table = figures.table(
        "one request, validated to logged (ms)", "", "CPU", "p50", "p99", "score only: CPU", "p50", "p99"
    )
    for name, row in content["rows"].items():
        cells = [row[mode][key] / 1_000 for mode in ("explained", "score_only") for key in row[mode]]
        table.add_row(name, *(f"{value:.2f}" for value in cells))
    figures.show(table)
    print(
        f"CPU of FastAPI's, explained:  {content['explained_cpu_ratio_vs_fastapi']:.3f}   (aim: at most 0.2)\n"
        f"CPU of FastAPI's, score only: {content['score_cpu_ratio_vs_fastapi']:.3f}   (aim: at most 1)\n"
        f"p99 / p50, explained:         {content['p99_over_p50']:.2f}    (aim: at most 2)\n"
        f"p50 with Kinesis {KINESIS_DELAY_MS} ms late:   {content['kinesis_delay_p50_shift']:+.1%}   (aim: less than +5 %)\n"
        "bare: the caller sends all 40 features, and the log is a line; neither call to AWS is made."
    )
    if content["score_only_is_explained"]:
        print("The function explains although reasons=none: its score-only figures are explained ones.")


if __name__ == "__main__":
    main()
