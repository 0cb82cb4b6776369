"""A minute of ``make soak``: each thing that can go away goes away once, workers are killed, and the promise holds."""

from __future__ import annotations

import sys

import pytest

from bench.soak import soak
from bench.soak_schedule import Kind, Outage, Target

OUTAGES = (
    Outage(Target.REGISTRY, Kind.ERRORS),
    Outage(Target.FEATURES, Kind.CUT),
    Outage(Target.STREAM, Kind.UNACKNOWLEDGED),
)


@pytest.mark.skipif(sys.platform != "linux", reason="Workers are found by /proc.")
def test_every_request_is_answered_or_refused_and_every_record_archived_while_things_fail() -> None:
    found = soak(60, 7, print, outages=OUTAGES, kill_every_s=8, callers=(2,), step_s=2)
    assert found["missed"] == []
    assert found["records_archived"] >= found["predictions_given"] >= 1
    # How much of what was injected met with a request is the machine's to say.
    assert found["calls_that_met_an_outage"].keys() <= set(map(str, OUTAGES))
    assert sum(found["calls_that_met_an_outage"].values()) >= 1
    assert found["kills"].get("score-card-fraud", 0) >= 1
