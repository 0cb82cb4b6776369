"""The arithmetic of burn rates: how fast a budget of bad events is spent, and from how many bad events on that says anything.

An objective of 99.9 % leaves a budget of 0.1 % bad events in thirty days. A burn rate of 1 spends it in exactly those thirty days,
one of 14.4 in two. The rates, windows and severities are Table 5-8 of Google's Site Reliability Workbook (chapter 5, "Alerting
on SLOs", "6: Multiwindow, Multi-Burn-Rate Alerts").

Pure: no CDK, no clock. The metric math that CloudWatch evaluates is made here too, so that it is tested beside what it means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PERIOD_DAYS = 30

WHOLE_BP = 10_000
"""Every event, in basis points."""

FALSE_ALARM = 1e-4
"""How likely a window of a calm service may ring, at the volume where that is likeliest."""


@dataclass(frozen=True, slots=True)
class BurnRate:
    """Rings when the budget burns at ``rate`` over both windows: the long one says that it matters, the short one that it goes on."""

    rate: float
    long_minutes: int
    short_minutes: int
    pages: bool

    @property
    def name(self) -> str:
        """``14x`` for 14.4: what tells the alarms of an objective apart."""
        return f"{math.floor(self.rate)}x"

    @property
    def still_rate(self) -> float:
        """The rate over the short window at which it still goes on. Of what calls at once, it is the same.

        A service that spends just its budget would else be told of anew with every turn of chance in six hours: some hundred
        times a month (``make sim-slo``). Half of it is what a calm service spends.
        """
        return self.rate if self.pages else self.rate / 2

    @property
    def budget_spent(self) -> float:
        """The share of the budget that is gone when the long window has burnt at the rate throughout."""
        return self.rate * self.long_minutes / (PERIOD_DAYS * 24 * 60)

    @property
    def least_bad(self) -> int:
        """With how few bad events in the long window it never rings.

        With little traffic, one bad event is a high rate: one of 60 requests burns a budget of 0.1 % seventeen times too fast, and
        is chance. A calm service spends at most its budget, and half of it for years. Its bad events are a Poisson number. The
        fewest are asked for of which a calm service has so many with a probability of ``FALSE_ALARM`` at most, at the volume where that is
        likeliest: where so many are just the rate. With less traffic it has fewer, and with more traffic the rate
        itself asks for more of them.
        """
        calm = min(1.0, self.rate / 2)
        bad = 1
        while poisson_tail(calm * bad / self.rate, bad) > FALSE_ALARM:
            bad += 1
        return bad


BURN_RATES = (
    BurnRate(rate=14.4, long_minutes=60, short_minutes=5, pages=True),
    BurnRate(rate=6, long_minutes=6 * 60, short_minutes=30, pages=True),
    BurnRate(rate=1, long_minutes=3 * 24 * 60, short_minutes=6 * 60, pages=False),
)

FASTEST = max(burn.rate for burn in BURN_RATES)

LEAST_TARGET_BP = WHOLE_BP - math.floor(WHOLE_BP / FASTEST)
"""The lowest target whose budget a total outage burns at the fastest rate; below it, nothing would ever page."""


def poisson_tail(mean: float, least: int) -> float:
    """The probability of at least so many events where ``mean`` are expected."""
    term, below = math.exp(-mean), 0.0
    for count in range(least):
        below += term
        term *= mean / (count + 1)
    return max(0.0, 1.0 - below)


def budget(target_bp: int) -> float:
    """The share of events that may be bad: 0.001 for a target of 9,990 basis points."""
    return (WHOLE_BP - target_bp) / WHOLE_BP


def burn_rate_expression(target_bp: int, least_bad: int) -> str:
    """CloudWatch's metric math for the burn rate of ``bad`` of ``total`` events, and 0 where too few are bad to say.

    Where there were no events there is no rate, and none is compared. Bad events are whole, but CloudWatch has some of them from a
    percentage: so they are compared with half an event less.
    """
    return f"IF(bad > {least_bad - 0.5}, bad / total / {budget(target_bp):.4f}, 0)"
