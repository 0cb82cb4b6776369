"""``make demo``: the whole story on a local AWS, from an empty machine to an archive that adds up.

Deploy, simulate, train, pack, gate, register, approve, load features, replay transactions through the API, and check that what
was answered is what LightGBM says and what the archive holds. Then, while callers keep scoring: a candidate scores in the
shadow of the champion and is rolled out to its place, and another, which a mistake has spoilt, is rolled back. At last the world
drifts: the monitoring says so, asks for a new model, and has it trained, gated and put in shadow.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from examples.card_fraud import watch
from examples.card_fraud.archive_past import archive_past
from examples.card_fraud.candidates import as_good, in_the_wrong_unit
from examples.card_fraud.contract import ENDPOINT
from examples.card_fraud.handover import HandedOver, approve, gate_line, hand_over
from examples.card_fraud.metrics import evaluate
from examples.card_fraud.past import DRIFTED_DAYS, TRAINED_DAYS, World, world
from examples.card_fraud.population import DAY_MS
from examples.card_fraud.release import compare_shadow, roll_out
from examples.card_fraud.replay import Replay, ReplayRow, select_replay
from examples.card_fraud.traffic import traffic
from examples.card_fraud.train import Trained, train_on
from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.system import SystemClock
from quicksilver.cli.output import explains_errors
from quicksilver.errors import QuicksilverError, Unavailable
from quicksilver.instants import utc_iso
from quicksilver.local import checkout
from quicksilver.local.deployment import STAGE, Deployment
from quicksilver.local.emulator import Emulator
from quicksilver.query import Span
from quicksilver.sql.engine import DuckDBEngine

TRANSACTIONS = 500
UNDER_WAY = 2_000
"""Transactions that callers send over and over while routes change, each of another card."""
CALLERS = 2
ARCHIVE_PATIENCE_SECONDS = 60
ROUTE_PATIENCE_SECONDS = 30

console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Scored:
    """One replayed transaction, its answer and how long the caller waited."""

    row: ReplayRow
    answer: Mapping[str, Any]
    seconds: float


@explains_errors
def main() -> None:
    started = time.monotonic()
    emulator = Emulator()
    with step("local AWS and stage=local") as say:
        emulator.start(say)
        deployment = Deployment(emulator)
        deployment.deploy(say)
    stage, grace = (DeployedStage(STAGE, deployment.environment_of(name)) for name in ("ada", "grace"))
    with step("simulating 70 days of transactions and training on the first 60"):
        simulated = world(SystemClock().now_ms())
        trained = train_on(simulated.transactions, simulated.frame, days=TRAINED_DAYS)
    with step("pack, gate, register as ada, approve as grace") as say:
        handed_over = hand_over(stage, grace, trained, say)
    replay = select_replay(trained.contract, trained.transactions, trained.frame, n=TRANSACTIONS)
    with step("loading online features"):
        rows = stage.features.write(replay.feature_rows(SystemClock().now_ms()))
    with step("waiting until the endpoint answers with the new champion"):
        wait_for_route(stage, replay.rows[0], handed_over.model)
    since_ms = SystemClock().now_ms()
    scored = score_all(stage, replay)
    check_exact(trained, scored)
    with step("waiting for the archive"):
        archived = wait_for_archive(stage, since_ms, {item.answer["prediction_id"] for item in scored})
    report(trained, handed_over, rows, scored, archived)
    release(stage, grace, trained)
    drift(stage, simulated)
    say_what_is_next(stage, scored)
    console.print(
        f"\n[dim]{time.monotonic() - started:.0f} s in all. The stack stays up; stop it with:[/dim] make down"
    )


@contextmanager
def step(title: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done, and how long it took once it is done."""
    started = time.monotonic()
    with console.status(title) as status:
        yield lambda detail: status.update(f"{title}: {detail}")
    console.print(f"[green]done[/green] {title} [dim]{time.monotonic() - started:.1f} s[/dim]")


def wait_for_route(stage: DeployedStage, row: ReplayRow, model: str) -> None:
    """Score one transaction until the champion answers: running functions take a route up within seconds."""
    deadline = time.monotonic() + ROUTE_PATIENCE_SECONDS
    while True:
        answer = stage.api.score(ENDPOINT, row.body)
        if answer.status == 200 and answer.content["model"] == model:
            return
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{model} does not answer after {ROUTE_PATIENCE_SECONDS} s: the API says {answer.content}"
            )
        time.sleep(0.5)


def score_all(stage: DeployedStage, replay: Replay) -> list[Scored]:
    def score(row: ReplayRow) -> Scored:
        started = time.perf_counter()
        answer = stage.api.score(ENDPOINT, row.body)
        seconds = time.perf_counter() - started
        if answer.status != 200:
            raise Unavailable(
                f"The API answered {answer.status} for {row.body['entity_id']}: {answer.content}"
            )
        return Scored(row, answer.content, seconds)

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = callers.map(score, replay.rows)
        return list(
            track(answers, f"scoring {TRANSACTIONS} transactions", total=TRANSACTIONS, console=console)
        )


def check_exact(trained: Trained, scored: list[Scored]) -> None:
    """Every raw score from the API is the one LightGBM gives for the training side's own vector."""
    vectors = np.array([item.row.vector for item in scored])
    expected = np.asarray(trained.booster.predict(vectors, raw_score=True))
    differing = [
        item.row.body["entity_id"]
        for item, value in zip(scored, expected.tolist(), strict=True)
        if item.answer["raw_score"] != value
    ]
    if differing:
        raise QuicksilverError(
            f"{len(differing)} raw scores differ from LightGBM's own, first for {differing[0]}."
        )


def wait_for_archive(stage: DeployedStage, since_ms: int, prediction_ids: set[str]) -> int:
    """How many of these predictions, all since a moment, the archive holds; those on their way are waited for."""
    wanted = ", ".join(f"'{prediction_id}'" for prediction_id in prediction_ids)
    sql = f"select count(*) from predictions where prediction_id in ({wanted})"  # noqa: S608 - our own ids
    deadline = time.monotonic() + ARCHIVE_PATIENCE_SECONDS
    while True:
        span = Span(since_ms, SystemClock().now_ms() + 1)
        with DuckDBEngine(stage.archive).open(["predictions"], span, endpoint=ENDPOINT) as archive:
            archived = int(archive.query(sql).rows[0][0])
        if archived >= len(prediction_ids) or time.monotonic() > deadline:
            break
        time.sleep(1)
    if archived != len(prediction_ids):
        raise QuicksilverError(
            f"scored {len(prediction_ids)}, but archived {archived}: the archive does not add up."
        )
    return archived


def release(ada: DeployedStage, grace: DeployedStage, trained: Trained) -> None:
    """Release two candidates under traffic: each decision is printed as it is made."""
    console.print()
    with step("two candidates for its place: pack, gate, register, approve") as say:
        good = approve(ada, grace, as_good(trained), say).model
        spoilt = approve(ada, grace, in_the_wrong_unit(trained), say).model
    crowd = select_replay(trained.contract, trained.transactions, trained.frame, n=UNDER_WAY)
    with step("loading online features"):
        ada.features.write(crowd.feature_rows(SystemClock().now_ms()))
    with traffic(ada, crowd.rows, callers=CALLERS) as under_way:
        with step(f"{good} scores in the shadow of the champion"):
            seen = compare_shadow(ada, good, under_way)
        flips = seen["disagreement"]
        console.print(
            f"  {flips['to_adverse'] + flips['to_approved']} of {flips['compared']} predictions would be decided otherwise; "
            f"rank correlation {seen['spearman']:.3f}, PSI {seen['psi']:.3f}"
        )
        for model, what in ((good, "is as good"), (spoilt, "learned the age of devices in another unit")):
            console.print(f"\n{model} {what}, and is rolled out:")
            for decided in roll_out(grace, model, under_way):
                console.print(f"  {decided.seconds:5.1f} s  [bold]{decided.move:<16}[/bold]{decided.reason}")
    answers = ", ".join(f"{model} {count}" for model, count in sorted(under_way.answers.items()))
    console.print(f"\n{under_way.answered} requests meanwhile, none of them failed: {answers}")


def drift(stage: DeployedStage, simulated: World) -> None:
    """Let the world drift, and show what the monitoring makes of it."""
    console.print()
    with step("the ten days before today go into the archive, answered in bulk, not lived through") as say:
        archived = archive_past(stage, simulated, say)
    console.print(
        f"  {archived.predictions:,} predictions with their outcomes, {archived.frauds} of them frauds; "
        f"the drift knob is turned on the last {DRIFTED_DAYS} days"
    )
    with step("the drift function catches up") as say:
        watch.catch_up(stage, say)
    judged = watch.windows(stage)
    days = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    for result in judged:
        alarms = result.alarms
        words = "[green]quiet[/green]"
        if alarms:
            words = f"[red]{len(alarms)} alarms[/red], {alarms[0].feature or 'scores'} first"
        days.add_row(utc_iso(result.counts.window.start_ms)[:10], f"{result.counts.archived:,}", words)
    console.print(days)
    first = next((result for result in judged if result.alarms), None)
    if first is None:
        raise QuicksilverError("No day has an alarm, though the drift knob is turned.")
    console.print(f"\n[bold]DriftDetected[/bold] {escape(watch.headline(stage, first))}")
    console.print(f"  {first.alarms[0].sentence}", markup=False)
    request = watch.the_request(stage)
    console.print(f"[bold]RetrainRequested[/bold] {request.id}: {request.reason}")
    with step(f"the state machine works on {request.id}") as say:
        ending = watch.wait_for_ending(stage, request, say)
    console.print(f"  {gate_line(watch.gate_report(stage, request))}\n  {ending.sentence}")
    before = watch.documents(stage)
    with step("the drift function once more") as say:
        said = watch.catch_up(stage, say)
    if watch.documents(stage) != before:
        raise QuicksilverError("Run again, the drift function has announced or asked for something again.")
    console.print(f"  {said}; nothing is announced or asked for again")
    console.print(f"  for a person: {watch.write_page().relative_to(checkout())}")


def report(
    trained: Trained,
    handed_over: HandedOver,
    rows: int,
    scored: list[Scored],
    archived: int,
) -> None:
    scores = np.array([item.answer["score"] for item in scored])
    outcomes = np.array([item.row.outcome for item in scored])
    p50, p99 = np.percentile([item.seconds * 1_000 for item in scored], [50, 99])
    inside = float(np.median([item.answer["timings"]["total_us"] for item in scored])) / 1_000
    facts = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    facts.add_row("model", f"{handed_over.model}, held-out AUC {trained.metrics['auc']:.4f}")
    facts.add_row("gates", gate_line(handed_over.report))
    facts.add_row("model card", str(handed_over.card.relative_to(checkout())))
    facts.add_row("online features", f"{rows} rows")
    facts.add_row(
        "live AUC",
        f"{evaluate(scores, outcomes)['auc']:.4f} against {int(outcomes.sum())} frauds in {len(scored)}",
    )
    facts.add_row("raw scores", f"{len(scored)} of {len(scored)} bit-equal to LightGBM's own")
    facts.add_row(
        "latency",
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms through the emulator; p50 {inside:.1f} ms in the function",
    )
    console.print("\n", facts, sep="")

    riskiest = _riskiest(scored)
    truth = "fraud" if riskiest.row.outcome else "honest"
    console.print(
        f"\nriskiest transaction: {riskiest.row.body['entity_id']}, score {riskiest.answer['score']:.4f} "
        f"(in truth {truth}), because"
    )
    reasons = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
    for reason in riskiest.answer["reasons"]:
        reasons.add_row(f"{reason['contribution']:+.3f}", reason["text"], f"[dim]{reason['code']}[/dim]")
    console.print(reasons)
    console.print(f"\n[bold]scored {len(scored)} = archived {archived}[/bold]")


def say_what_is_next(stage: DeployedStage, scored: list[Scored]) -> None:
    body = _riskiest(scored).row.body
    console.print("\nScore the riskiest transaction yourself:\n")
    console.print(curl(stage, body), markup=False)
    console.print("\nTry next:\n", try_next(body), sep="\n", markup=False)


def _riskiest(scored: list[Scored]) -> Scored:
    return max(scored, key=lambda item: float(item.answer["score"]))


def curl(stage: DeployedStage, body: Mapping[str, Any]) -> str:
    """A command line that scores a request; the emulator's credentials are nobody's secret."""
    user = f"{stage.environment['AWS_ACCESS_KEY_ID']}:{stage.environment['AWS_SECRET_ACCESS_KEY']}"
    region = stage.environment["AWS_DEFAULT_REGION"]
    return shlex.join(
        [
            "curl", "-sS", f"{stage.api_url}/v1/{ENDPOINT}/score",
            "--aws-sigv4", f"aws:amz:{region}:execute-api", "--user", user,
            "-H", f"x-api-key: {stage.api_key}", "-H", "Content-Type: application/json",
            "-d", json.dumps(body),
        ]
    )  # fmt: skip


def try_next(body: Mapping[str, Any]) -> str:
    features = [
        f"--set {name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in body["features"].items()
    ]
    keys = [f"--key {name}={value}" for name, value in body["keys"].items()]
    run = ".venv/bin/quicksilver"
    midnight_ms = SystemClock().now_ms() // DAY_MS * DAY_MS
    last_days = f"--from {utc_iso(midnight_ms - 6 * DAY_MS)} --to {utc_iso(midnight_ms)}"
    return "\n".join(
        [
            f"  {run} score --endpoint {ENDPOINT} --entity {body['entity_id']} {' '.join([*keys, *features])}",
            f"  {run} invoke score --event events/score_card_fraud.json --in-process",
            f'  {run} query "select status, count(*) as n, avg(score) as mean from predictions group by status"',  # noqa: S608
            f"  {run} model list --endpoint {ENDPOINT}",
            f"  {run} route history --endpoint {ENDPOINT}",
            f"  {run} rollout history --endpoint {ENDPOINT}",
            f"  {run} drift report --endpoint {ENDPOINT} --html build/drift.html",
            f"  {run} drift backtest --endpoint {ENDPOINT} {last_days}",
            f"  {run} performance report --endpoint {ENDPOINT} --html build/performance.html",
            f"  {run} retrain list --endpoint {ENDPOINT}",
            f"  {run} registry history --endpoint {ENDPOINT}",
            f"  {run} registry verify --endpoint {ENDPOINT}",
            f"  {run} local status",
        ]
    )


if __name__ == "__main__":
    typer.run(main)
