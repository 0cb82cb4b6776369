"""Gates on a candidate that nobody has trained: the rows it has not seen, against its champion, under the endpoint's policy.

These are the gates that a person runs (``gates.run``), on what the training left behind. Protected attributes are those that
the outcomes' ``groups`` name. Of one that no outcome names nothing is known, and the bias gate warns of it: rows that are all
of the group ``unknown`` are treated equally by any model.
"""

from __future__ import annotations

from quicksilver.evaluation_file import open_evaluation
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
    return run_gates(candidate, open_evaluation(evaluation), policy, champion, clock)
