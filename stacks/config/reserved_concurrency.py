"""How many runs of each helper may be at once, so that none of them takes what scoring needs."""

from __future__ import annotations

from dataclasses import dataclass

from stacks.config.setting import Setting, require

LEAST_UNRESERVED = 100
"""Lambda keeps so many of an account's for functions that reserve none.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReservedConcurrency(Setting):
    """Of Lambda's concurrent executions, what each helper reserves, which is also its most.

    ``consumer`` is that of each function that reads the prediction stream, one a shard; ``api`` of each that answers an API beside
    scoring; ``background`` of each other helper. ``scoring`` must be left for the score functions, which reserve nothing and so
    may use all that is left.
    """

    scoring: int = 500
    consumer: int = 32
    api: int = 20
    background: int = 4

    def __post_init__(self) -> None:
        for name in ("consumer", "api", "background"):
            value = getattr(self, name)
            require(value >= 1, f"A concurrency of {value} for {name} lets none of its functions run.")
        require(
            self.scoring >= LEAST_UNRESERVED,
            f"{self.scoring} concurrent executions cannot be left for scoring: Lambda keeps {LEAST_UNRESERVED} unreserved.",
        )
