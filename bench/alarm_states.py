"""What alarms of a synthesized template would do on simulated traffic, minute by minute.

As CloudWatch does it: a metric alarm looks every minute at the window that ends then, one of more than a day every hour; what is
missing is not breaching; a composite follows its rule at once. What is left out is the minute or two that metrics take to arrive.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]
States = NDArray[np.bool_]

_DAY_SECONDS = 86_400
_OPERATORS: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.Gt: operator.gt,
}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
}


@dataclass(frozen=True)
class Requests:
    """What callers of one API resource saw in each minute; ``slow`` are those past the time that was promised."""

    count: Series
    failed: Series
    slow: Series


@dataclass(frozen=True)
class Traffic:
    """Requests by the last part of their path, and what the function counted, by metric. What is not here was never measured."""

    requests: Mapping[str, Requests]
    counted: Mapping[str, Series]

    @property
    def minutes(self) -> int:
        return max(
            len(series)
            for series in (*(item.count for item in self.requests.values()), *self.counted.values())
        )

    def statistic(self, metric: Mapping[str, Any], statistic: str, minutes: int) -> Series:
        """A metric's statistic over the window of so many minutes that ends with each minute; NaN where there is nothing."""
        name = metric["MetricName"]
        if metric["Namespace"] != "AWS/ApiGateway":
            series = self.counted.get(name)
            return _nothing(self.minutes) if series is None else _missing_zeros(_windows(series, minutes))
        resource = {item["Name"]: item["Value"] for item in metric["Dimensions"]}["Resource"]
        requests = self.requests.get(resource.rpartition("/")[2])
        if requests is None:
            return _nothing(self.minutes)
        count = _missing_zeros(_windows(requests.count, minutes))
        match name, statistic:
            case ("Count", "Sum") | ("Latency", "SampleCount"):
                return count
            case ("5XXError", "Sum"):
                # Every request is a sample of it, of 0 or 1.
                return np.where(np.isnan(count), np.nan, _windows(requests.failed, minutes))
            case ("Latency", rank) if rank.startswith("PR(:"):
                return 100 * (1 - _windows(requests.slow, minutes) / count)
        raise NotImplementedError(f"{statistic} of {name}")


def rings(alarm: Mapping[str, Any], traffic: Traffic) -> States:
    """In which minutes an alarm of metric math is in ALARM."""
    if alarm["EvaluationPeriods"] != 1 or alarm["TreatMissingData"] != "notBreaching":
        raise NotImplementedError(alarm["AlarmName"])
    known: dict[str, Series] = {}
    expressions = {query["Id"]: query for query in alarm["Metrics"] if "Expression" in query}
    periods = {query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query}
    (seconds,) = periods
    for query in alarm["Metrics"]:
        if "MetricStat" in query:
            stat = query["MetricStat"]
            known[query["Id"]] = traffic.statistic(stat["Metric"], stat["Stat"], seconds // 60)

    def value(name: str) -> Any:
        if name not in known:
            known[name] = _evaluate(expressions[name]["Expression"], value, _FUNCTIONS)
        return known[name]

    (watched,) = (query["Id"] for query in alarm["Metrics"] if query["ReturnData"])
    breaching = _COMPARISONS[alarm["ComparisonOperator"]](value(watched), alarm["Threshold"])
    if seconds > _DAY_SECONDS:
        hour = np.arange(len(breaching)) // 60 * 60 - 1
        breaching = np.where(hour < 0, False, breaching[np.maximum(hour, 0)])
    return np.asarray(breaching, dtype=bool)


def follows(rule: str, states: Mapping[str, States]) -> States:
    """In which minutes a composite of this rule is in ALARM. Alarms without a state are taken to be quiet."""
    quiet = np.zeros(len(next(iter(states.values()))), dtype=bool)
    # As an expression: ALARM("a") AND ALARM("b") is ALARM("a") & ALARM("b").
    expression = re.sub(r"\bAND\b", "&", re.sub(r"\bOR\b", "|", rule))
    found: States = _evaluate(
        expression, _unknown, {"ALARM": lambda name: np.asarray(states.get(name, quiet))}
    )
    return found


def _evaluate(
    expression: str, value: Callable[[str], Any], functions: Mapping[str, Callable[..., Any]]
) -> Any:
    def of(node: ast.AST) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return value(node.id)
            case ast.BinOp():
                return _OPERATORS[type(node.op)](of(node.left), of(node.right))
            case ast.Compare(ops=[one], comparators=[right]):
                left = of(node.left)
                # Where nothing is known, nothing is compared.
                return np.where(np.isnan(left), np.nan, _OPERATORS[type(one)](left, of(right)))
            case ast.Call(func=ast.Name(id=name)):
                return functions[name](*map(of, node.args))
        raise NotImplementedError(ast.dump(node))

    with np.errstate(divide="ignore", invalid="ignore"):
        return of(ast.parse(expression, mode="eval").body)


def _if(condition: Series, yes: Any, no: Any) -> Series:
    chosen = np.where(condition == 1, yes, no)
    # CloudWatch drops what is divided by zero.
    return np.where(np.isnan(condition) | ~np.isfinite(chosen), np.nan, chosen)


def _fill(series: Series, by: float) -> Series:
    return np.where(np.isnan(series), by, series)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"IF": _if, "FILL": _fill}


def _windows(series: Series, minutes: int) -> Series:
    """The sum over the last so many minutes at each minute; at the start, over those that there are."""
    sums = np.concatenate([[0.0], np.cumsum(series)])
    ends = np.arange(1, len(series) + 1)
    found: Series = sums[ends] - sums[np.maximum(0, ends - minutes)]
    return found


def _missing_zeros(series: Series) -> Series:
    return np.where(series > 0, series, np.nan)


def _nothing(minutes: int) -> Series:
    return np.full(minutes, np.nan)


def _unknown(name: str) -> Any:
    raise NotImplementedError(name)
