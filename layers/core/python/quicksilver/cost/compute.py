"""What Lambda charges for: invocations, memory for as long as it is held, and storage beyond what is free."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from quicksilver.cost.assembly import Assembly, DeployedFunction
from quicksilver.cost.prices import Charge
from quicksilver.cost.provisioned import held_by
from quicksilver.cost.schedule import runs_a_month
from quicksilver.cost.usage import MIB_A_GB, Use, gb_seconds
from quicksilver.cost.workload import SECONDS_A_MONTH, Workload

FREE_STORAGE_MIB = 512

ON_DEMAND = {"arm64": Charge.LAMBDA_ARM64, "x86_64": Charge.LAMBDA_X86_64}
PROVISIONED = {"arm64": Charge.LAMBDA_PROVISIONED_ARM64, "x86_64": Charge.LAMBDA_PROVISIONED_X86_64}
ON_PROVISIONED = {"arm64": Charge.LAMBDA_ON_PROVISIONED_ARM64, "x86_64": Charge.LAMBDA_ON_PROVISIONED_X86_64}

# A run of these reads what it watches, every time: lists of S3, or routes, cursors and histories of the registry.
_LISTS_A_RUN = {"redeliver": 1}
_READS_A_RUN = {"rollout": 6}


def runs(function: DeployedFunction, number: Decimal, ms: Decimal) -> Iterator[Use]:
    """So many invocations a month, each billed for so many milliseconds, on demand."""
    yield Use("Lambda, requests", Charge.LAMBDA_REQUESTS, number)
    seconds = number * ms / 1_000
    yield Use("Lambda, on demand", ON_DEMAND[function.architecture], gb_seconds(function.memory_mib, seconds))
    beyond = max(0, function.storage_mib - FREE_STORAGE_MIB)
    yield Use("Lambda, storage", Charge.LAMBDA_STORAGE, Decimal(beyond) / MIB_A_GB * seconds)


def scoring(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """The score functions: what is held for them, and what their decisions take of it and beyond it."""
    assumed = workload.assumptions
    for function in assembly.functions:
        if function.endpoint is None:
            continue
        rate = workload.of(function.endpoint)
        busy = rate * assumed.billed_ms / 1_000
        held = held_by(assembly, function, assumed.utilisation)
        share = held.share_of_load(busy)
        seconds = busy * SECONDS_A_MONTH
        for what, charge, amount in (
            ("Lambda, provisioned", PROVISIONED, held.held(busy) * SECONDS_A_MONTH),
            ("Lambda, on provisioned", ON_PROVISIONED, seconds * share),
            ("Lambda, on demand", ON_DEMAND, seconds * (1 - share)),
        ):
            yield Use(what, charge[function.architecture], gb_seconds(function.memory_mib, amount))
        yield Use("Lambda, requests", Charge.LAMBDA_REQUESTS, rate * SECONDS_A_MONTH)
        if function.snapshots:
            restored = rate * SECONDS_A_MONTH * assumed.restores * function.memory_mib / MIB_A_GB
            yield Use("Lambda, restores", Charge.LAMBDA_RESTORES, restored)


def scheduled(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """What schedules run, and what judging takes beyond that for every prediction."""
    assumed = workload.assumptions
    for function, number in scheduled_runs(assembly):
        yield from runs(function, number, assumed.run_ms)
        yield Use("S3, requests that write", Charge.S3_PUTS, number * _LISTS_A_RUN.get(function.name, 0))
        yield Use("DynamoDB, reads", Charge.DYNAMODB_READS, number * _READS_A_RUN.get(function.name, 0))
        if "QUICKSILVER_ENGINE" in function.variables:
            million = workload.decisions / 1_000_000
            # Longer runs, and no more of them.
            for use in runs(function, Decimal(1), million * assumed.judging_ms_a_million):
                if use.charge is not Charge.LAMBDA_REQUESTS:
                    yield use
            if function.variables["QUICKSILVER_ENGINE"] == "athena":
                scanned = workload.decisions * assumed.record_bytes * assumed.scans / 2**30
                yield Use("Athena, scanned", Charge.ATHENA_SCANNED, scanned)


def scheduled_runs(assembly: Assembly) -> Iterator[tuple[DeployedFunction, Decimal]]:
    """Each function that a schedule runs, with how often a month."""
    for rule in assembly.of_type("AWS::Events::Rule", "AWS::Scheduler::Schedule"):
        expression = rule.properties.get("ScheduleExpression")
        targets = rule.properties.get("Targets", rule.properties.get("Target"))
        if expression is not None:
            for function in assembly.functions_in(targets):
                yield function, runs_a_month(str(expression))


def retraining(assembly: Assembly, workload: Workload) -> Iterator[Use]:
    """New models asked for: steps of the state machine, and the functions that only it invokes."""
    if not workload.requests_per_second:
        return
    assumed = workload.assumptions
    number = Decimal(assumed.retrainings * len(assembly.endpoints))
    for machine in assembly.of_type("AWS::StepFunctions::StateMachine"):
        yield Use("Step Functions, steps", Charge.STATE_TRANSITIONS, number * assumed.retraining_steps)
        for function in assembly.functions_in(machine.properties):
            yield from runs(function, number, assumed.retraining_ms)
