"""What changed between two model packages: contract, importance, metrics. Training side; never in a layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from quicksilver.contract import Contract, Feature
from quicksilver.gates.report import Gate, GateReport
from quicksilver.model_version import Sha256
from quicksilver.package import METRICS, Package


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Change(_Value):
    """One thing that differs: ``where`` is ``amount.maximum`` or ``top_reasons``; values are as JSON has them."""

    where: str
    before: Any
    after: Any


class Moved(_Value):
    """A number in both packages, or in one of them: a feature's share of the total gain, or a metric."""

    name: str
    before: float | None
    after: float | None

    @property
    def difference(self) -> float | None:
        return None if self.before is None or self.after is None else self.after - self.before


class PackageDiff(_Value):
    """``importance``, ``metrics`` and ``bias`` hold every name of either side; importance is in order of the later share.

    ``bias`` is from the gate reports of both sides, and empty where one has none.
    """

    before: Sha256
    after: Sha256
    added: tuple[str, ...]
    removed: tuple[str, ...]
    reordered: bool
    changed: tuple[Change, ...]
    importance: tuple[Moved, ...]
    metrics: tuple[Moved, ...]
    bias: tuple[Moved, ...] = ()

    @property
    def same_contract(self) -> bool:
        return not (self.added or self.removed or self.reordered or self.changed)


def diff_packages(
    before: Package, after: Package, *, reports: tuple[GateReport | None, GateReport | None] = (None, None)
) -> PackageDiff:
    """Compare two packages, and their gate reports where both have one.

    Raises ``InvalidPackage`` for metrics that are no numbers.
    """
    old, new = before.contract, after.contract
    kept_before = [name for name in old.names if name in new.names]
    kept_after = [name for name in new.names if name in old.names]
    importance = _moved(gain_shares(before), gain_shares(after))
    return PackageDiff(
        before=before.sha256,
        after=after.sha256,
        added=tuple(name for name in new.names if name not in old.names),
        removed=tuple(name for name in old.names if name not in new.names),
        reordered=kept_before != kept_after,
        changed=tuple(_changes(old, new)),
        importance=tuple(sorted(importance, key=lambda m: (-(m.after or 0.0), -(m.before or 0.0), m.name))),
        metrics=tuple(_moved(_metrics(before), _metrics(after))),
        bias=tuple(_moved(*map(_bias, reports))) if all(reports) else (),
    )


def gain_shares(package: Package) -> dict[str, float]:
    """Each feature's share of the model's total gain; they add up to 1, or are all 0 for a model without splits."""
    import lightgbm

    booster = lightgbm.Booster(model_str=package.model_text.decode())
    gains = [float(gain) for gain in booster.feature_importance(importance_type="gain")]
    total = sum(gains) or 1.0
    return dict(zip(booster.feature_name(), (gain / total for gain in gains), strict=True))


def _metrics(package: Package) -> Mapping[str, float]:
    """A package's metrics; none where it was opened for scoring only, which leaves them where they are."""
    return package.metrics if METRICS in package.files else {}


def _changes(old: Contract, new: Contract) -> list[Change]:
    features: dict[str, Feature] = {feature.name: feature for feature in old.features}
    changes = _differing("", _own(old), _own(new))
    for feature in new.features:
        if feature.name in features:
            before, after = features[feature.name].model_dump(mode="json"), feature.model_dump(mode="json")
            changes += _differing(f"{feature.name}.", before, after)
    return changes


def _own(contract: Contract) -> dict[str, Any]:
    return contract.model_dump(mode="json", exclude={"features"})


def _differing(prefix: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return [
        Change(where=f"{prefix}{name}", before=before[name], after=after[name])
        for name in before
        if before[name] != after[name]
    ]


def _bias(report: GateReport | None) -> dict[str, float]:
    checks = report.of_gate(Gate.BIAS) if report else ()
    return {check.key: check.value for check in checks if check.value is not None}


def _moved(before: Mapping[str, float], after: Mapping[str, float]) -> list[Moved]:
    return [
        Moved(name=name, before=before.get(name), after=after.get(name)) for name in sorted({*before, *after})
    ]


def render_diff(diff: PackageDiff, *, top: int = 15) -> RenderableType:
    """The difference for a terminal: contract first, then the ``top`` features by gain, then metrics."""
    parts: list[RenderableType] = []
    if diff.same_contract:
        parts.append(Text("The contract is the same."))
    else:
        parts += [Text(f"+ {name}", style="green") for name in diff.added]
        parts += [Text(f"- {name}", style="red") for name in diff.removed]
        if diff.reordered:
            parts.append(Text("~ the features are in another order", style="yellow"))
        parts += [
            Text(f"~ {change.where}: {_shown(change.before)} -> {_shown(change.after)}", style="yellow")
            for change in diff.changed
        ]
    parts.append(_table("share of gain", diff.importance[:top], "{:.1%}", "{:+.1%}"))
    parts.append(_table("metric", diff.metrics, "{:.5g}", "{:+.3g}"))
    if diff.bias:
        parts.append(_table("bias, by attribute and group", diff.bias, "{:.4f}", "{:+.4f}"))
    return Group(*parts)


def _table(title: str, rows: tuple[Moved, ...], number: str, change: str) -> Table:
    table = Table(
        Column(title, overflow="fold"), *(Column(n, justify="right") for n in ("before", "after", "change"))
    )
    for row in rows:
        cells = [(row.before, number), (row.after, number), (row.difference, change)]
        table.add_row(Text(row.name), *("" if value is None else form.format(value) for value, form in cells))
    return table


def _shown(value: Any) -> str:
    return (
        "none"
        if value in (None, [], ())
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else str(value)
    )
