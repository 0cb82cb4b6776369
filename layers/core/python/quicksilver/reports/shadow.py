"""What a shadow would have changed: its scores against those that were answered, from the archive in SQL.

Both scores are of the same vectors. A score at or above the cut-off is the adverse decision. The figures are
computed by DuckDB on tables that may be larger than memory; only counts come out of it.

- Disagreement: shares of flipped decisions with Wilson's score interval (Wilson 1927) at 95 %.
- PSI: the sum of (s - a) ln(s / a) over the answered scores' deciles (Siddiqi 2006, section 8.1), each share of an empty
  bin counted as half a row.
- KS: the largest distance of the two empirical distribution functions.
- Spearman: Pearson's correlation of midranks (Spearman 1904), ties sharing the mean of their ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict

from quicksilver.contract import Contract, Feature, FeatureType
from quicksilver.errors import NotFound
from quicksilver.gates.statistics import wilson
from quicksilver.model_version import Sha256
from quicksilver.sql.engine import ArchiveDatabase

CONFIDENCE = 0.95
SCORE_BINS = 50
PSI_BINS = 10

ContractOf = Callable[[str, str], Contract]
"""The contract of a package by its SHA-256 and its fingerprint."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Flips(_Value):
    """Decisions that a shadow would have made otherwise. ``low`` and ``high`` bound the share at 95 %."""

    compared: int
    to_adverse: int
    to_approved: int
    share: float
    low: float
    high: float

    @classmethod
    def of(cls, compared: int, to_adverse: int, to_approved: int) -> Flips:
        flipped = to_adverse + to_approved
        bounds = wilson(flipped, compared, CONFIDENCE)
        return cls(
            compared=compared,
            to_adverse=to_adverse,
            to_approved=to_approved,
            share=flipped / compared,
            low=bounds.low,
            high=bounds.high,
        )


class Segment(_Value):
    """Predictions with a feature's category or in a quarter of its range, and how many flip there."""

    feature: str
    segment: str
    flips: Flips


class Answered(_Value):
    """The same for each model version that answered."""

    model: str
    flips: Flips


class Histogram(_Value):
    """Counts of both scores in bins of one width from ``low`` to ``high``; the last bin includes its end."""

    low: float
    high: float
    answered: tuple[int, ...]
    shadow: tuple[int, ...]


class Coverage(_Value):
    """What became of the endpoint's predictions in the time; the five counts add up to them.

    ``before`` are older than the first that was scored: the shadow was not there yet. ``without_score`` are later, and
    have none all the same. A fallback has no vector, so that no model can score it.
    """

    predictions: int
    scored: int
    failed: int
    before: int
    without_score: int
    without_vector: int

    @property
    def share(self) -> float:
        """Of the predictions with a vector since the first that was scored."""
        return self.scored / max(1, self.scored + self.failed + self.without_score)


class Latency(_Value):
    """Microseconds of one score."""

    median_us: int
    p99_us: int


class ShadowReport(_Value):
    """The whole comparison. ``shadow`` is how a person knows the model; ``since`` and ``until`` are UTC ISO-8601.

    ``spearman`` is null where one of the scores is the same for every vector.
    """

    schema_version: int = 1
    endpoint: str
    shadow: str
    package_sha256: Sha256
    since: str
    until: str
    cutoff: float
    coverage: Coverage
    errors: dict[str, int]
    disagreement: Flips
    answered_by: tuple[Answered, ...]
    psi: float
    ks: float
    spearman: float | None
    scores: Histogram
    segments: tuple[Segment, ...]
    latency: Latency


def compare(
    database: ArchiveDatabase,
    *,
    endpoint: str,
    shadow: str,
    package_sha256: str,
    since: str,
    until: str,
    cutoff: float,
    contract_of: ContractOf,
) -> ShadowReport:
    """The report on one shadow from an archive's tables. Raises ``NotFound`` where it scored no prediction of the time."""
    coverage, errors = _join(database, endpoint, package_sha256, since, until)
    if not coverage.scored:
        raise _nothing(endpoint, shadow, coverage, errors)
    query = _Queries(database, cutoff)
    return ShadowReport(
        endpoint=endpoint,
        shadow=shadow,
        package_sha256=package_sha256,
        since=since,
        until=until,
        cutoff=cutoff,
        coverage=coverage,
        errors=errors,
        disagreement=query.flips()[0][1],
        answered_by=tuple(Answered(model=str(key), flips=flips) for key, flips in query.flips("answered_by")),
        psi=query.psi(),
        ks=query.ks(),
        spearman=query.spearman(),
        scores=query.histogram(),
        segments=tuple(query.segments(_contracts(database, contract_of))),
        latency=query.latency(),
    )


def _join(
    database: ArchiveDatabase, endpoint: str, package_sha256: str, since: str, until: str
) -> tuple[Coverage, dict[str, int]]:
    """Make the table ``compared`` of every prediction that has both scores, and count the others."""
    database.query(
        """
        CREATE OR REPLACE TEMP TABLE joined AS
        SELECT p.prediction_id, p.time, p.model AS answered_by, p.package_sha256, p.fingerprint, p.vector,
               p.score AS a, s.score AS s, s.score_us, s.error, s.prediction_id IS NOT NULL AS seen
        FROM predictions p
        LEFT JOIN shadow_scores s ON s.prediction_id = p.prediction_id AND s.package_sha256 = $package
        WHERE p.endpoint = $endpoint AND p.time >= $since::TIMESTAMPTZ AT TIME ZONE 'UTC'
          AND p.time < $until::TIMESTAMPTZ AT TIME ZONE 'UTC'
        """,
        {"package": package_sha256, "endpoint": endpoint, "since": since, "until": until},
    )
    database.query("CREATE OR REPLACE TEMP TABLE compared AS SELECT * FROM joined WHERE s IS NOT NULL")
    ((predictions, scored, failed, before, without_score, without_vector),) = database.query(
        """
        WITH first AS (SELECT coalesce(min(time), 'infinity'::TIMESTAMP) AS begun FROM joined WHERE seen)
        SELECT count(*), count(s), count(error),
               count(*) FILTER (NOT seen AND len(vector) > 0 AND time < begun),
               count(*) FILTER (NOT seen AND len(vector) > 0 AND time >= begun),
               count(*) FILTER (NOT seen AND len(vector) = 0)
        FROM joined, first
        """
    ).rows
    errors = database.query(
        "SELECT error, count(*) FROM joined WHERE error IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    coverage = Coverage(
        predictions=predictions,
        scored=scored,
        failed=failed,
        before=before,
        without_score=without_score,
        without_vector=without_vector,
    )
    return coverage, {str(error): int(count) for error, count in errors.rows}


def _nothing(endpoint: str, shadow: str, coverage: Coverage, errors: dict[str, int]) -> NotFound:
    error = NotFound(
        f"{shadow} has scored none of the {coverage.predictions:,} predictions of {endpoint} in that time."
    )
    for cause, count in errors.items():
        error.add_note(f"  {cause.replace('_', ' ')}: {count:,} predictions")
    return error


def _contracts(database: ArchiveDatabase, contract_of: ContractOf) -> dict[str, Contract]:
    """The contract of each fingerprint that vectors were scored by."""
    rows = database.query(
        "SELECT fingerprint, any_value(package_sha256) FROM compared GROUP BY 1 ORDER BY 1"
    ).rows
    return {fingerprint: contract_of(package, fingerprint) for fingerprint, package in rows}


class _Queries:
    """Figures of the table ``compared``, which has rows."""

    def __init__(self, database: ArchiveDatabase, cutoff: float) -> None:
        self._database = database
        self._cutoff = cutoff

    def flips(self, by: str = "''") -> list[tuple[Any, Flips]]:
        """Flips by the values of a SQL expression, the most compared first."""
        rows = self._database.query(
            f"""
            SELECT {by} AS part, count(*),
                   count(*) FILTER (a < $cutoff AND s >= $cutoff), count(*) FILTER (a >= $cutoff AND s < $cutoff)
            FROM compared GROUP BY part ORDER BY 2 DESC, 1
            """,  # noqa: S608 - our own expressions
            {"cutoff": self._cutoff},
        ).rows
        return [(key, Flips.of(*counts)) for key, *counts in rows]

    def psi(self) -> float:
        (deciles,) = self._database.query(
            f"SELECT quantile_cont(a, {[i / PSI_BINS for i in range(1, PSI_BINS)]}) FROM compared"  # noqa: S608
        ).rows[0]
        edges = sorted(set(deciles))
        a, s = (self._counts(column, _bins(column, edges), len(edges) + 1) for column in "as")
        rows = sum(a)
        shares = [(max(x, 0.5) / rows, max(y, 0.5) / rows) for x, y in zip(a, s, strict=True) if x or y]
        return math.fsum((y - x) * math.log(y / x) for x, y in shares)

    def ks(self) -> float:
        ((distance,),) = self._database.query(
            """
            WITH steps AS (
                SELECT x, sum(d)::BIGINT AS d
                FROM (SELECT a AS x, 1 AS d FROM compared UNION ALL SELECT s, -1 FROM compared) GROUP BY x
            )
            SELECT max(abs(total)) FROM (SELECT sum(d) OVER (ORDER BY x) AS total FROM steps)
            """
        ).rows
        return int(distance) / int(self._database.query("SELECT count(*) FROM compared").rows[0][0])

    def spearman(self) -> float | None:
        # Twice a midrank is an integer, so the sums are exact in whatever order they are added up.
        ((n, x, y, xx, yy, xy),) = self._database.query(
            """
            WITH ranks AS (
                SELECT (2 * rank() OVER (ORDER BY a) + count(*) OVER (PARTITION BY a) - 1)::HUGEINT AS x,
                       (2 * rank() OVER (ORDER BY s) + count(*) OVER (PARTITION BY s) - 1)::HUGEINT AS y
                FROM compared
            )
            SELECT count(*), sum(x), sum(y), sum(x * x), sum(y * y), sum(x * y) FROM ranks
            """
        ).rows
        spread = (n * xx - x * x) * (n * yy - y * y)
        return (n * xy - x * y) / math.sqrt(spread) if spread else None

    def histogram(self) -> Histogram:
        ((low, high),) = self._database.query(
            "SELECT least(min(a), min(s)), greatest(max(a), max(s)) FROM compared"
        ).rows
        if low >= 0 and high <= 1:
            low, high = 0.0, 1.0
        elif low == high:
            high = low + 1.0
        width = (high - low) / SCORE_BINS
        answered, shadow = (
            self._counts(
                column, f"least(floor(({column} - {low!r}) / {width!r})::INT, {SCORE_BINS - 1})", SCORE_BINS
            )
            for column in "as"
        )
        return Histogram(low=low, high=high, answered=tuple(answered), shadow=tuple(shadow))

    def latency(self) -> Latency:
        ((median, p99),) = self._database.query(
            "SELECT quantile_disc(score_us, 0.5), quantile_disc(score_us, 0.99) FROM compared"
        ).rows
        return Latency(median_us=median, p99_us=p99)

    def segments(self, contracts: dict[str, Contract]) -> list[Segment]:
        """Every segment of every feature, the one that surely flips most first."""
        found = [
            Segment(feature=name, segment=str(part), flips=flips)
            for name in dict.fromkeys(name for contract in contracts.values() for name in contract.names)
            for part, flips in self.flips(self._segment_of(name, contracts))
            if part is not None
        ]
        return sorted(
            found, key=lambda item: (-item.flips.low, -item.flips.share, item.feature, item.segment)
        )

    def _segment_of(self, name: str, contracts: dict[str, Contract]) -> str:
        """A SQL expression for the segment of a vector by one feature; null where its contract does not have it."""
        places = [
            (fingerprint, contract.names.index(name) + 1, contract.features[contract.names.index(name)])
            for fingerprint, contract in contracts.items()
            if name in contract.names
        ]
        value = _case(
            (fingerprint, f"coalesce(vector[{place}], 'nan'::DOUBLE)") for fingerprint, place, _ in places
        )
        numeric = [feature for *_, feature in places if feature.type in _NUMERIC]
        words = _case(
            (fingerprint, _words(f"vector[{place}]", feature)) for fingerprint, place, feature in places
        )
        if not numeric:
            return words
        (quartiles,) = self._database.query(
            f"SELECT quantile_cont(x, [0.25, 0.5, 0.75]) FROM (SELECT {value} AS x FROM compared) WHERE NOT isnan(x)"  # noqa: S608
        ).rows[0]
        edges = sorted(set(quartiles or ()))
        names = _ranges(edges)
        ranges = f"{_list(names)}[{_bins(value, edges)} + 1]"
        return f"CASE WHEN {value} IS NULL THEN NULL WHEN isnan({value}) THEN 'missing' ELSE {ranges} END"

    def _counts(self, column: str, bin_of: str, bins: int) -> list[int]:
        """How many rows each bin has, by a SQL expression for the bin."""
        rows = self._database.query(f"SELECT {bin_of}, count({column}) FROM compared GROUP BY 1").rows  # noqa: S608
        counts = dict(rows)
        return [int(counts.get(place, 0)) for place in range(bins)]


_NUMERIC = (FeatureType.NUMBER, FeatureType.INTEGER)


def _case(branches: Iterable[tuple[str, str]]) -> str:
    """A value by the contract that a vector is of."""
    whens = " ".join(f"WHEN '{fingerprint}' THEN {value}" for fingerprint, value in branches)
    return f"(CASE fingerprint {whens} END)"


def _words(value: str, feature: Feature) -> str:
    """A category or a boolean in words."""
    if feature.type is FeatureType.BOOLEAN:
        return f"CASE {value} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE 'missing' END"
    if feature.type is FeatureType.CATEGORY:
        return f"coalesce({_list(feature.categories)}[{value}::INT + 1], 'missing')"
    return "NULL"


def _bins(value: str, edges: Sequence[float]) -> str:
    """How many edges a value lies above: its bin, each but the first without its lower edge."""
    return "(" + " + ".join([f"({value} > {edge!r})::INT" for edge in edges] or ["0"]) + ")"


def _ranges(edges: Sequence[float]) -> list[str]:
    if not edges:
        return ["all"]
    inner = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    return [f"up to {edges[0]:.4g}", *inner, f"above {edges[-1]:.4g}"]


def _list(words: Sequence[str]) -> str:
    """Words as a SQL list; a quote in one is doubled."""
    return "[" + ", ".join("'" + word.replace("'", "''") + "'" for word in words) + "]"
