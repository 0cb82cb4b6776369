"""Lambda's lines of the live bill: runs and duration of every function, and what is held for those that score."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from quicksilver.cost.assembly import DeployedFunction
from quicksilver.cost.compute import FREE_STORAGE_MIB, ON_DEMAND, ON_PROVISIONED, PROVISIONED
from quicksilver.cost.live_metrics import LiveMetric, LiveStage, Rates, there
from quicksilver.cost.prices import Charge


def _id(kind: str, function: DeployedFunction) -> str:
    return f"{kind}_{function.name.replace('-', '_')}"


def function_metrics(stage: LiveStage, function: DeployedFunction) -> Iterator[LiveMetric]:
    """What is measured of a function: runs and their duration, and what is held for it."""
    dimensions = {"FunctionName": stage.function_name(function)}
    yield LiveMetric(_id("runs", function), "AWS/Lambda", "Invocations", dimensions)
    yield LiveMetric(_id("ms", function), "AWS/Lambda", "Duration", dimensions)
    if function.endpoint in stage.held:
        held = ProvisionedMetrics(stage.function_name(function))
        yield held.runs(_id("held_runs", function))
        yield held.busy(_id("held_busy", function))
        yield held.used(_id("held_used", function))


@dataclass(frozen=True, slots=True)
class ProvisionedMetrics:
    """Metrics of provisioned concurrency are of a function version, which every release makes anew: they are searched for."""

    function: str

    def runs(self, id: str) -> LiveMetric:
        return LiveMetric(
            id, "AWS/Lambda", "ProvisionedConcurrencyInvocations", {"FunctionName": self.function}
        )

    def spilled(self, id: str) -> LiveMetric:
        name = "ProvisionedConcurrencySpilloverInvocations"
        return LiveMetric(id, "AWS/Lambda", name, {"FunctionName": self.function})

    def busy(self, id: str) -> LiveMetric:
        return self._searched(id, "ProvisionedConcurrentExecutions")

    def used(self, id: str) -> LiveMetric:
        return self._searched(id, "ProvisionedConcurrencyUtilization")

    def _searched(self, id: str, name: str) -> LiveMetric:
        return LiveMetric(
            id, "AWS/Lambda", name, {"FunctionName": self.function, "Resource": ""}, "Average", True
        )


def function_lines(stage: LiveStage, rates: Rates, *, clock: str) -> Iterator[tuple[str, str]]:
    """``clock`` is a metric whose period is that of the picture."""
    runs = " + ".join(there(_id("runs", function)) for function in stage.functions)
    yield "Lambda, requests", f"({runs}) * {rates[Charge.LAMBDA_REQUESTS]}"
    on_demand, held, on_held, storage = [], [], [], []
    for function in stage.functions:
        gb = f"{Decimal(function.memory_mib) / 1_024:f}"
        ms = there(_id("ms", function))
        architecture = function.architecture
        floor = stage.held.get(function.endpoint or "")
        if floor is not None:
            runs_of, held_runs = _id("runs", function), _id("held_runs", function)
            share = f"FILL(IF({runs_of} > 0, FILL({held_runs}, 0) / {runs_of}, 0), 0)"
            on_held.append(f"{ms} * {share} / 1000 * {gb} * {rates[ON_PROVISIONED[architecture]]}")
            ms = f"{ms} * (1 - {share})"
            used = there(_id("held_used", function))
            number = f"IF({used} > 0, {there(_id('held_busy', function))} / {used}, {floor:f})"
            held.append(f"{number} * {gb} * PERIOD({clock}) * {rates[PROVISIONED[architecture]]}")
        on_demand.append(f"{ms} / 1000 * {gb} * {rates[ON_DEMAND[architecture]]}")
        if function.storage_mib > FREE_STORAGE_MIB:
            beyond = f"{Decimal(function.storage_mib - FREE_STORAGE_MIB) / 1_024:f}"
            storage.append(f"{ms} / 1000 * {beyond} * {rates[Charge.LAMBDA_STORAGE]}")
    for what, parts in (
        ("Lambda, on demand", on_demand),
        ("Lambda, provisioned", held),
        ("Lambda, on provisioned", on_held),
        ("Lambda, storage", storage),
    ):
        if parts:
            yield what, " + ".join(parts)
