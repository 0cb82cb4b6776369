"""Evaluation rows, policies and bent packages for the tests of the gates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from quicksilver.contract import Contract
from quicksilver.evaluation_file import open_evaluation
from quicksilver.gates.data import EvaluationData
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import Check, Gate, Outcome
from quicksilver.package import Package, open_package, seal
from quicksilver.packing import evaluation_rows
from tests.conftest import contract_content

if TYPE_CHECKING:
    from tests.conftest import Trained


def policy(**sections: Any) -> Policy:
    """A policy that a sound package keeps; ``sections`` bend it."""
    content: dict[str, Any] = {
        "endpoint": "card-fraud",
        "version": 3,
        "cutoff": 0.5,
        "protected": ["band"],
        "performance": {"bootstrap_samples": 200, "max_ece": 0.2},
        "bias": {"max_equal_opportunity_gap": 1, "max_equalized_odds_gap": 1, "max_calibration_gap": 1},
        "consistency": {"monotone_rows": 30, "order_rows": 10},
        "latency": {"max_cpu_ratio": 1000, "max_load_ratio": 1000, "max_cpu_us": 10_000_000},
    }
    for name, section in sections.items():
        bent = isinstance(section, Mapping) and isinstance(content.get(name), dict)
        content[name] = {**content[name], **section} if bent else section
    return Policy.model_validate(content)


def band(rows: int) -> list[str | None]:
    """A protected attribute that has nothing to do with anything: two bands, and every seventh row unknown."""
    return [None if row % 7 == 0 else "old" if row % 2 else "young" for row in range(rows)]


def evaluation(trained: Trained, **changes: Any) -> EvaluationData:
    usual = {
        "reference": trained.vectors,
        "target": trained.target,
        "protected": {"band": band(len(trained.vectors))},
    }
    return open_evaluation(evaluation_rows(trained.contract, **{**usual, **changes}))


def contract_with(bend: Any) -> Contract:
    """The usual contract after ``bend`` changed its plain content."""
    content = contract_content()
    bend({feature["name"]: feature for feature in content["features"]}, content)
    return Contract.model_validate(content)


def with_files(package: Package, **files: bytes) -> Package:
    """A package with other bytes in some files (``golden_jsonl=...``), sealed anew: a forger with the tools at hand."""
    changed = {name: data for name, data in package.files.items() if name != "manifest.json"}
    changed |= {name.replace("_", "."): data for name, data in files.items()}
    contract = Contract.from_json(changed["contract.json"])
    return open_package(seal(contract.endpoint, contract.fingerprint, changed).__getitem__)


def golden_lines(package: Package) -> list[dict[str, Any]]:
    return [json.loads(line) for line in package.files["golden.jsonl"].splitlines()]


def golden_bytes(lines: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def find(checks: Any, name: str, group: str | None = None) -> Check:
    (found,) = [c for c in checks if c.name == name and (group is None or c.group == group)]
    return found


def failed(checks: Any, gate: Gate | None = None) -> list[str]:
    return [c.name for c in checks if c.outcome is Outcome.FAIL and gate in (None, c.gate)]


def ulp_above(value: float) -> float:
    return float(np.nextafter(value, np.inf))
