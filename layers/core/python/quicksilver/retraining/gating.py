"""Gates on a candidate that nobody has trained: the rows it has not seen, against its champion, under the endpoint's policy.

These are the gates that a person runs (``gates.run``), on what the training left behind. Protected attributes are those that
the outcomes' ``groups`` name. One that no outcome names is unknown in every row, and the bias gate warns of it: any model
treats a single group alike, which shows nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quicksilver.evaluation_file import open_evaluation
from quicksilver.frame import Column
from quicksilver.gates.policy import Policy
from quicksilver.gates.report import GateReport
from quicksilver.gates.run import Champion, run_gates
from quicksilver.package import Package
from quicksilver.ports import Clock


def gate_candidate(
    candidate: Package, evaluation: bytes, policy: Policy, champion: Champion, clock: Clock
) -> GateReport:
    """The gate report of a candidate. ``evaluation`` is what training left as ``evaluation.parquet``.

    Raises ``InvalidData`` for rows that cannot be judged, and as ``run_gates`` does.
    """
    data = open_evaluation(evaluation)
    unknown = Column(np.zeros(data.rows, dtype=np.int64), np.zeros(data.rows, dtype=np.bool_), ())
    asked_for = {*policy.protected, *candidate.contract.protected} - data.names
    data = replace(data, columns={**data.columns, **dict.fromkeys(asked_for, unknown)})
    return run_gates(candidate, data, policy, champion, clock)
