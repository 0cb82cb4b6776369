"""A small interpreter of CloudWatch's metric math, for one period: a value, or None where nothing was measured.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html: a point that is missing in one operand is
missing in the result, and so is what is divided by zero; FILL puts a value where a point is missing.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping, Sequence

Value = float | None

_OPERATORS: Mapping[type, Callable[[float, float], Value]] = {
    ast.Add: lambda one, other: one + other,
    ast.Sub: lambda one, other: one - other,
    ast.Mult: lambda one, other: one * other,
    ast.Div: lambda one, other: one / other if other else None,
    ast.Gt: lambda one, other: float(one > other),
}


class MetricMath:
    """Expressions by their ids, over metrics by theirs; ``searches`` are what is found by the text of a search."""

    def __init__(
        self,
        expressions: Mapping[str, str],
        metrics: Mapping[str, Value],
        *,
        period: int,
        searches: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        self._expressions = expressions
        self._metrics = metrics
        self._period = period
        self._searches = searches or {}

    def value(self, id: str) -> Value:
        if id in self._expressions:
            return self.of(self._expressions[id])
        return self._metrics[id]

    def of(self, expression: str) -> Value:
        return self._of(ast.parse(expression, mode="eval").body)

    def _of(self, node: ast.expr) -> Value:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=id):
                return self.value(id)
            case ast.BinOp(left=left, op=operator, right=right):
                return self._both(operator, left, right)
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                return self._both(operator, left, right)
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return self._call(name, arguments)
        raise ValueError(f"{ast.unparse(node)} is no metric math known here")

    def _both(self, operator: ast.AST, left: ast.expr, right: ast.expr) -> Value:
        one, other = self._of(left), self._of(right)
        return None if one is None or other is None else _OPERATORS[type(operator)](one, other)

    def _call(self, name: str, arguments: list[ast.expr]) -> Value:
        match name, arguments:
            case "FILL", [series, ast.Name(id="REPEAT")]:
                return self._of(series)
            case "FILL", [series, by]:
                found = self._of(series)
                return self._of(by) if found is None else found
            case "IF", [condition, *branches]:
                holds = self._of(condition)
                if holds is None:
                    return None
                return self._of(branches[0]) if holds else self._of(branches[1]) if branches[1:] else None
            case "CEIL", [series]:
                found = self._of(series)
                return None if found is None else float(math.ceil(found))
            case "SUM", [ast.List(elts=parts)]:
                there = [found for part in parts if (found := self._of(part)) is not None]
                return sum(there) if there else None
            case "MAX", [ast.Call(func=ast.Name(id="SEARCH")) as search]:
                return max(self._searches.get(ast.unparse(search), ()), default=None)
            case "TIME_SERIES", [scalar]:
                return self._of(scalar)
            case "PERIOD", [ast.Name(id=id)]:
                assert id in self._metrics
                return float(self._period)
        raise ValueError(f"{name} of {len(arguments)} is no metric math known here")


def names(expression: str) -> set[str]:
    """The ids that an expression uses."""
    tree = ast.parse(expression, mode="eval")
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - called - {"REPEAT"}
