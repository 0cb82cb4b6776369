"""Whether each resource of a stage's stacks is there, well, and what its template asked for.

Templates say what is right: a stage that is emulated asks for less than one on AWS, and is judged by that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quicksilver.doctor.finding import Finding, Health, Problem, found, untold
from quicksilver.stage_state import (
    AlarmState,
    AliasState,
    BucketState,
    ConsumerState,
    FunctionState,
    KeyState,
    Resource,
    StackState,
    StreamState,
    TableState,
)

_DEPLOY_AGAIN = "Deploy the stage again: cdk deploy --all -c stage=STAGE."
_LATE_MS = 5 * 60_000
_TOO_LATE_MS = 15 * 60_000
"""From when the stack's own alarms ring: the rollup's and the shadow function's."""


def stack(seen: StackState) -> Iterator[Finding]:
    """A stack is whole when its last change went through."""
    problems = []
    if not seen.status:
        problems.append(Problem("There is no such stack.", _DEPLOY_AGAIN))
    elif seen.status.endswith("_IN_PROGRESS"):
        problems.append(
            Problem(
                f"{seen.status}: a change is under way.",
                "Wait until it is through, then ask again.",
                Health.WARN,
            )
        )
    elif "ROLLBACK" in seen.status or seen.status not in (
        "CREATE_COMPLETE",
        "UPDATE_COMPLETE",
        "IMPORT_COMPLETE",
    ):
        reason = f" ({seen.reason})" if seen.reason else ""
        problems.append(
            Problem(
                f"{seen.status}{reason}: the last change did not go through.",
                f"aws cloudformation describe-stack-events --stack-name {seen.name} says what failed.",
            )
        )
    yield from found("stacks", seen.name, seen.status, problems)


def function(service: str, resource: Resource, seen: FunctionState) -> Iterator[Finding]:
    problems = []
    why = f" ({seen.reason})" if seen.reason else ""
    if seen.state not in ("Active", "Inactive"):  # Lambda takes resources from what is idle for weeks
        health = Health.WARN if seen.state == "Pending" else Health.FAIL
        problems.append(Problem(f"Its state is {seen.state}{why}.", _look_at(resource), health))
    if seen.last_update != "Successful":
        health = Health.WARN if seen.last_update == "InProgress" else Health.FAIL
        problems.append(Problem(f"Its last update is {seen.last_update}{why}.", _look_at(resource), health))
    yield from found("functions", service, f"{seen.state}, updated {seen.modified}", problems)


def _look_at(resource: Resource) -> str:
    return f"aws lambda get-function --function-name {resource.name} says why; then deploy again."


def alias(name: str, seen: AliasState) -> Iterator[Finding]:
    """``live`` points to one published function version, which alone has provisioned concurrency."""
    problems = []
    version = seen.function_version
    if not version.isdigit():
        problems.append(
            Problem(f"It points to {version}, which changes under its callers.", "Deploy the stage again.")
        )
    elif seen.version_state not in ("Active", "Inactive"):
        problems.append(
            Problem(
                f"It points to function version {version}, whose state is {seen.version_state or 'gone'}.",
                "Point it to one that is there, or deploy again.",
                Health.WARN if seen.version_state == "Pending" else Health.FAIL,
            )
        )
    if seen.weights and not seen.releasing:
        shares = ", ".join(f"{share:.0%} to {other}" for other, share in seen.weights.items())
        problems.append(
            Problem(
                f"It gives {shares}, and no deployment is in progress.",
                "Take the weights off: aws lambda update-alias --routing-config AdditionalVersionWeights={}",
            )
        )
    answering = {version, *seen.weights}
    for item in seen.provisioned:
        on = f"Provisioned concurrency on {item.qualifier}"
        if not item.qualifier.isdigit():
            problems.append(
                Problem(f"{on}, an alias, where a code canary is refused.", "Remove it from the alias.")
            )
        elif item.qualifier not in answering:
            problems.append(
                Problem(
                    f"{on}, a function version that answers nobody, is paid for.",
                    "aws lambda delete-provisioned-concurrency-config removes it.",
                    Health.WARN,
                )
            )
        elif item.status != "READY":
            problems.append(
                Problem(
                    f"{on} is {item.status}: {item.available} of {item.requested} are there.",
                    "Wait while it is IN_PROGRESS; FAILED says why in the Lambda console.",
                    Health.WARN if item.status == "IN_PROGRESS" else Health.FAIL,
                )
            )
    said = f"function version {version}"
    if seen.weights:
        said += f", being released beside {', '.join(seen.weights)}"
    if ready := sum(item.available for item in seen.provisioned if item.qualifier in answering):
        said += f", {ready} provisioned"
    yield from found("functions", name, said, problems)


def table(resource: Resource, seen: TableState, used: str = "") -> Iterator[Finding]:
    """``used`` says how it came to be used, where the stack has not made it."""
    problems = []
    named = f"--table-name {resource.name}"
    if seen.status not in ("ACTIVE", "UPDATING"):
        problems.append(Problem(f"It is {seen.status}.", "Restore it: docs/recovery.md."))
    if seen.restorable is None:
        problems.append(untold("whether it can be restored"))
    elif not seen.restorable:
        problems.append(
            Problem(
                "Point-in-time recovery is off: a mistake could not be taken back.",
                f"aws dynamodb update-continuous-backups {named} turns it on.",
            )
        )
    if resource.asked.get("DeletionProtectionEnabled") and not seen.protected:
        problems.append(
            Problem("It is not protected from deletion.", f"aws dynamodb update-table {named} turns that on.")
        )
    expected = resource.asked.get("TimeToLiveSpecification", {}).get("AttributeName", "")
    if seen.expires_by is None:
        problems += [untold("whether its items expire")] if expected else []
    elif expected != seen.expires_by:
        problems.append(
            Problem(
                f"Items expire by {seen.expires_by or 'nothing'}, and should by {expected or 'nothing'}.",
                f"aws dynamodb update-time-to-live {named} sets it.",
            )
        )
    if "ResourcePolicy" in resource.asked and seen.policed is not True:
        problems.append(
            untold("whether only the registry may write")
            if seen.policed is None
            else Problem(
                "It has no resource policy: not the registry alone may write.",
                f"aws dynamodb put-resource-policy, with the policy of the table that the stack {resource.stack} has made.",
            )
        )
    for region, status in seen.replicas.items():
        if status != "ACTIVE":
            problems.append(
                Problem(
                    f"Its replica in {region} is {status}.", f"aws dynamodb describe-table {named} says why."
                )
            )
    said = seen.status
    if seen.restorable:
        said += f", can be restored to {seen.earliest_restore or 'no moment yet'} or later"
    if seen.protected:
        said += ", protected"
    yield from found("stores", f"table {resource.id}{used}", said, problems)


def stream(resource: Resource, seen: StreamState) -> Iterator[Finding]:
    problems = []
    named = f"--stream-name {resource.name}"
    if seen.status not in ("ACTIVE", "UPDATING"):
        problems.append(
            Problem(f"It is {seen.status}.", f"aws kinesis describe-stream-summary {named} says more.")
        )
    if seen.encrypted is None:
        problems.append(untold("whether it is encrypted"))
    elif not seen.encrypted:
        problems.append(
            Problem(
                "It is not encrypted.",
                f"aws kinesis start-stream-encryption {named}, with the predictions key.",
            )
        )
    expected = resource.asked.get("RetentionPeriodHours")
    if expected is not None and seen.retention_hours < int(expected):
        problems.append(
            Problem(
                f"It forgets after {seen.retention_hours} h, and should after {expected}.",
                f"aws kinesis increase-stream-retention-period {named} sets it.",
            )
        )
    yield from found(
        "stores", f"stream {resource.id}", f"{seen.status}, keeps {seen.retention_hours} h", problems
    )


def consumer(resource: Resource, seen: ConsumerState) -> Iterator[Finding]:
    problems = []
    if seen.state not in ("Enabled", "Updating", "Enabling"):
        problems.append(
            Problem(
                f"Its mapping is {seen.state}: nothing reads the stream for it.",
                f"aws lambda update-event-source-mapping --enabled --uuid {resource.name} puts it on.",
            )
        )
    # As Lambda says it: "OK", "No records processed", "PROBLEM: Function call failed".
    if seen.last_result.startswith("PROBLEM"):
        problems.append(Problem(f"Its last batch: {seen.last_result}.", "Read the function's log."))
    if seen.iterator_age_ms is None:
        problems.append(untold("how old the records are that it reads"))
    elif seen.iterator_age_ms > _LATE_MS:
        problems.append(
            Problem(
                f"It reads records that are {seen.iterator_age_ms // 60_000} minutes old.",
                "Read the function's log for a batch that fails, and its concurrency for throttles.",
                Health.FAIL if seen.iterator_age_ms > _TOO_LATE_MS else Health.WARN,
            )
        )
    yield from found("records", f"consumer {resource.id}", f"{seen.state}, {seen.last_result}", problems)


def delivery(resource: Resource, status: str) -> Iterator[Finding]:
    problems = []
    if status != "ACTIVE":
        problems.append(Problem(f"It is {status}.", "aws firehose describe-delivery-stream says why."))
    yield from found("records", f"delivery {resource.id}", status, problems)


def bucket(resource: Resource, seen: BucketState) -> Iterator[Finding]:
    problems = []
    if not seen.private:
        problems.append(
            Problem(
                "It does not block all public access.",
                f"aws s3api put-public-access-block --bucket {resource.name} blocks it.",
            )
        )
    if "VersioningConfiguration" in resource.asked and not seen.versioned:
        problems.append(
            Problem(
                "Versioning is off: what is overwritten is lost.",
                f"aws s3api put-bucket-versioning --bucket {resource.name} turns it on.",
            )
        )
    encryption = _asked_encryption(resource)
    if seen.encryption is None:
        problems.append(untold("how it encrypts"))
    elif encryption and seen.encryption != encryption:
        problems.append(
            Problem(
                f"It encrypts by {seen.encryption}, and should by {encryption}.",
                f"aws s3api put-bucket-encryption --bucket {resource.name} sets it.",
            )
        )
    if resource.asked.get("ObjectLockEnabled") and not seen.lock:
        problems.append(
            Problem(
                "Nothing in it is locked.",
                f"aws s3api put-object-lock-configuration --bucket {resource.name}; then find out who took it off.",
            )
        )
    said = ["versioned" if seen.versioned else "not versioned", "private"]
    said += [f"locked for {seen.lock}"] if seen.lock else []
    yield from found("stores", f"bucket {resource.id}", ", ".join(said), problems)


def _asked_encryption(resource: Resource) -> str:
    rules = resource.asked.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", ())
    return next((str(rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"]) for rule in rules), "")


def key(resource: Resource, seen: KeyState) -> Iterator[Finding]:
    problems = []
    if seen.state != "Enabled":
        problems.append(
            Problem(
                f"It is {seen.state}: what it encrypts cannot be read.",
                f"aws kms cancel-key-deletion or enable-key --key-id {resource.name}; then find out who did it.",
            )
        )
    elif resource.asked.get("EnableKeyRotation") and not seen.rotates:
        problems.append(
            Problem(
                "It does not rotate.", f"aws kms enable-key-rotation --key-id {resource.name} turns it on."
            )
        )
    said = f"{seen.state}{', rotates' if seen.rotates else ''}"
    yield from found("keys", resource.id, said, problems)


def queue(resource: Resource, messages: int) -> Iterator[Finding]:
    """Every queue of a stage is where what has failed goes, so an empty one is the good one."""
    problems = []
    if messages:
        problems.append(
            Problem(
                f"{messages} messages: what was given up.",
                "Each says what it was of; docs/recovery.md says what to do with it.",
            )
        )
    yield from found("records", f"queue {resource.id}", "empty", problems)


def rule(resource: Resource, state: str) -> Iterator[Finding]:
    problems = []
    if state not in ("ENABLED", "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS"):
        problems.append(
            Problem(
                f"It is {state}: {resource.asked.get('Description', 'it starts nothing')}, no more.",
                f"aws events enable-rule --name {resource.name} puts it on.",
            )
        )
    said = f"{state}, {resource.asked.get('ScheduleExpression', 'on events')}"
    yield from found("schedules", resource.id, said, problems)


def machine(resource: Resource, status: str) -> Iterator[Finding]:
    problems = [] if status == "ACTIVE" else [Problem(f"It is {status}.", "Deploy the stage again.")]
    yield from found("schedules", resource.id, status, problems)


def alarms(seen: Sequence[AlarmState] | None) -> Iterator[Finding]:
    if seen is None:
        nothing = untold("whether an alarm rings")
        yield Finding("alarms", "all", nothing.health, nothing.seen, nothing.next)
        return
    ringing = [alarm for alarm in seen if alarm.state == "ALARM"]
    for alarm in ringing:
        yield Finding(
            "alarms",
            alarm.name,
            Health.FAIL,
            f"It rings since {alarm.since}: {alarm.description}",
            "Its section in docs/runbook.md says what to do.",
        )
    if not seen:
        yield Finding("alarms", "all", Health.FAIL, "There is no alarm.", "Deploy the stage again.")
    elif not ringing:
        blind = sum(alarm.state == "INSUFFICIENT_DATA" for alarm in seen)
        said = f"none of {len(seen)} rings, {blind} have no data" if blind else f"none of {len(seen)} rings"
        yield Finding("alarms", "all", Health.OK, said)
