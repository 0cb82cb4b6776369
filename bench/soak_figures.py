"""The soak's figures: what was injected, what requests came to in each phase, and whether the promise was kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import figures
from bench.soak_judge import Archived, judgement, latency_ratios, outcomes
from bench.soak_load import Asked
from bench.soak_wire import Wire

if TYPE_CHECKING:
    from bench.soak import Soaked


def content_of(soaked: Soaked, archived: Archived, wire: Wire) -> dict[str, Any]:
    def phase_of(asked: Asked) -> str:
        return soaked.schedule.phase_at(asked.at_s - soaked.begun_s).name

    asked = soaked.load.asked
    return {
        "callers": soaked.callers,
        "requests_per_second": {str(callers): rate for callers, rate in soaked.calibration.items()},
        **judgement(asked, archived, soaked.keys_unanswered),
        "records_put_back": soaked.put_back,
        "outcomes": outcomes(asked, phase_of),
        "latency_of_quiet": latency_ratios(asked, phase_of),
        "calls_that_met_an_outage": dict(sorted(wire.injected.items())),
        "calls_forwarded": wire.forwarded,
        "kills": dict(sorted(soaked.injected.kills.items())),
        "injected": soaked.injected.done,
    }


def show(content: dict[str, Any]) -> None:
    statuses = sorted({status for counts in content["outcomes"].values() for status in counts})
    table = figures.table("Requests, by phase", "phase", *statuses, "p50", "p99")
    for phase, counts in content["outcomes"].items():
        ratios = content["latency_of_quiet"].get(phase, {})
        told = [f"{ratios[name]:.1f}x" if name in ratios else "" for name in ("p50", "p99")]
        table.add_row(phase, *(f"{counts.get(status, 0):,}" for status in statuses), *told)
    figures.show(table)
    table = figures.table("Injected", "what", "")
    for what, calls in content["calls_that_met_an_outage"].items():
        table.add_row(f"calls that met: {what}", f"{calls:,}")
    for service, kills in content["kills"].items():
        table.add_row(f"workers of {service} killed", f"{kills:,}")
    figures.show(table)
    print(
        f"{content['requests']:,} requests by {content['callers']} callers: {content['answered']:,} answered, "
        f"{content['neither_answered_nor_refused']} neither answered nor refused by a documented error (aim: 0), "
        f"{content['slower_than_the_gateway']} after more than API Gateway's 29 s\n"
        f"{content['predictions_given']:,} predictions given: {content['records_missing']} records missing, "
        f"{content['records_duplicated']} duplicated (aim: 0); {content['records_of_no_answer']} records of answers that "
        f"reached nobody, {content['copies_in_the_objects']} copies in the objects, {content['records_put_back']} put back\n"
        f"{content['idempotency_keys']:,} idempotency keys: {content['idempotency_keys_broken']} gave two answers (aim: 0); "
        f"the rollup differs from the archive in {content['rollup_differences']} counts (aim: 0)"
    )
    for sentence in content["missed"]:
        print(f"MISSED: {sentence}")
