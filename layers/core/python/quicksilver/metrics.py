"""The names of everything we count. The functions write them, alarms and dashboards read them."""

from __future__ import annotations

from enum import StrEnum

NAMESPACE = "Quicksilver"


class Metric(StrEnum):
    """A count in CloudWatch, with the dimensions ``service`` and ``endpoint``."""

    REQUESTS_SCORED = "RequestsScored"
    REQUESTS_DEGRADED = "RequestsDegraded"  # scored, with at least one feature's policy applied
    REQUESTS_STALE = (
        "RequestsStale"  # scored, with at least one feature not used because its value is too old
    )
    REQUESTS_FALLBACK = "RequestsFallback"  # answered by the contract's declared score, no model being usable
    MODELS_NOT_EVALUATED = (
        "ModelsNotEvaluated"  # a loaded model version gave no usable score; another rung answered
    )
    EXPLAINED_BY_LIGHTGBM = (
        "ExplainedByLightGBM"  # contributions the kernel did not give, at a hundred times the cost
    )
    ADDITIVITY_FAILED = "AdditivityFailed"  # a vector whose contributions did not add up to its raw score
    REQUESTS_REPLAYED = (
        "RequestsReplayed"  # answered by the stored answer of their idempotency key, not scored again
    )
    REQUESTS_UNGUARDED = "RequestsUnguarded"  # scored, with an idempotency key that could not be held
    REQUESTS_REFUSED = "RequestsRefused"  # the caller's fault: 4xx
    REQUESTS_UNAVAILABLE = "RequestsUnavailable"  # nothing could answer: 503
    REQUESTS_FAILED = "RequestsFailed"  # an error nobody foresaw: 500
    REQUESTS_UNANSWERED = "RequestsUnanswered"
    """Unavailable or failed, with the further dimension ``function_version``.

    Lambda does not count them as errors, since the function returns an answer; a code canary is
    judged by this metric of its own function version.
    """
    SCORES_SUMMED = "ScoresSummed"  # scores by a model, in the two sums that follow
    SCORE_SUM = "ScoreSum"
    SCORE_SQUARES = "ScoreSquares"
    """The sum of their squares. All three have the further dimension ``function_version`` too: a release is taken back where
    the scores of its function version are others than those of the one before."""
    FEATURE_READS_FAILED = "FeatureReadsFailed"  # attempts that the feature store refused or did not answer
    ROUTE_REFRESH_FAILED = "RouteRefreshFailed"
    PREDICTIONS_UNDELIVERED = "PredictionsUndelivered"  # refused by the stream, kept in S3
    PREDICTIONS_PENDING = "PredictionsPending"  # refused by both, kept in memory
    PREDICTIONS_LOST = "PredictionsLost"  # refused by both still when Lambda ended the environment
    EXTENSION_FAILED = "ExtensionFailed"  # an environment in which answers wait for the work after them again
    PREDICTIONS_REDELIVERED = "PredictionsRedelivered"
    PREDICTIONS_STILL_UNDELIVERED = "PredictionsStillUndelivered"
    PREDICTIONS_UNREADABLE = "PredictionsUnreadable"  # batches that redelivery has to leave to a person
    ROLLUP_RECORDS_UNREADABLE = "RollupRecordsUnreadable"  # no prediction records, and in no count
    ROLLUP_RECORDS_TOO_LATE = (
        "RollupRecordsTooLate"  # of periods whose identities are no longer kept, and in no count
    )
    ARM_DECISIONS = (
        "ArmDecisions"  # counted by the rollup of an arm: with the dimension ``arm`` beside these two
    )
    ARM_ERRORS = (
        "ArmErrors"  # of these, answered by another model version than the arm's; in none of what follows
    )
    ARM_DEGRADED = "ArmDegraded"
    ARM_APPROVED = "ArmApproved"  # scored below the endpoint's cut-off
    ARM_SCORE_SUM = "ArmScoreSum"  # scores added up, in basis points: 10,000 is a score of 1
    PREDICTION_LOG_DELAY = "PredictionLogDelay"
    """No count, but milliseconds from a decision to its record's being counted: the longest of a batch."""
    SHADOWS_SCORED = "ShadowsScored"  # scores by shadows, one for each of them and each record
    SHADOWS_NOT_SCORED = "ShadowsNotScored"  # a shadow gave no score; the archive says why
    SHADOW_RECORDS_SKIPPED = (
        "ShadowRecordsSkipped"  # without a vector, or of an endpoint whose route is not read
    )
    SHADOW_RECORDS_UNREADABLE = "ShadowRecordsUnreadable"  # no prediction records
    ROLLOUT_LOOKS = "RolloutLooks"  # endpoints looked at: none for minutes, and nobody watches the canaries
    ROLLOUT_LOOK_FAILED = (
        "RolloutLookFailed"  # endpoints that could not be looked at, or whose decision was not taken
    )
    DRIFT_WINDOWS_JUDGED = "DriftWindowsJudged"  # none for days, and nobody watches for drift
    DRIFT_ALARMS = "DriftAlarms"  # windows with an alarm
    DRIFT_RUN_FAILED = "DriftRunFailed"  # endpoints whose windows could not be judged to the last
    ARCHIVE_OBJECTS_SKIPPED = "ArchiveObjectsSkipped"  # objects of a judged window that cannot be read
    PERFORMANCE_RUNS = (
        "PerformanceRuns"  # endpoints looked at: none for days, and nobody judges what labels show
    )
    PERFORMANCE_RUN_FAILED = "PerformanceRunFailed"  # endpoints whose windows could not be judged to the last
    RETRAIN_TRIGGER_FAILED = (
        "RetrainTriggerFailed"  # endpoints of which nobody could decide whether to retrain
    )
    ANNOUNCEMENTS_FAILED = "AnnouncementsFailed"  # endpoints whose history could not be announced to its end


ARM_METRICS = (
    Metric.ARM_DECISIONS,
    Metric.ARM_ERRORS,
    Metric.ARM_DEGRADED,
    Metric.ARM_APPROVED,
    Metric.ARM_SCORE_SUM,
)
"""What is counted by arm. An arm goes by its role, the holdout apart, and never by its model version: CloudWatch bills a series
for each value of a dimension, and every release would bring new ones. The archive has them by model version."""
