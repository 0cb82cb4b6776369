"""How the resources of a deployed stage are, asked of AWS: nothing here changes anything."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property, partial
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from quicksilver.aws.refusals import cause
from quicksilver.errors import NotFound, Unavailable
from quicksilver.instants import utc_iso
from quicksilver.stage_state import (
    AlarmState,
    AliasState,
    BucketState,
    ConsumerState,
    FunctionState,
    KeptObject,
    KeyState,
    ProvisionedConcurrency,
    Resource,
    StackState,
    StreamState,
    TableState,
    stacks_of,
)

T = TypeVar("T")

AWS_ONLY_STACKS = ("operations",)

_GONE = {
    "ResourceNotFoundException",
    "ResourceNotFound",
    "NoSuchBucket",
    "NotFoundException",
    "StateMachineDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "404",
}
_UNDER_WAY = ["Created", "Queued", "InProgress", "Baking", "Ready"]
"""CodeDeploy's words for a deployment that may still write weights."""

_AGE_MINUTES = 15


class AwsStageReader:
    """``client`` gives a boto3 client of a service. With ``emulated``, what emulators do not tell is ``None``."""

    def __init__(self, stage: str, client: Callable[[str], Any], *, emulated: bool) -> None:
        self._stage = stage
        self._client = client
        self._emulated = emulated

    def stacks(self) -> Sequence[StackState]:
        data, outputs = self._stack("data")
        others = [name for name in stacks_of(outputs) if name != "data"]
        if not self._emulated:
            others += AWS_ONLY_STACKS
        return [data, *(self._stack(name)[0] for name in others)]

    def _stack(self, short: str) -> tuple[StackState, Mapping[str, str]]:
        """A stack and its outputs."""
        name = f"quicksilver-{self._stage}-{short}"
        try:
            (found,) = self._client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return StackState(name, ""), {}
            raise _unavailable(name, error) from error
        except BotoCoreError as error:
            raise _unavailable(name, error) from error
        outputs = {item["OutputKey"]: item["OutputValue"] for item in found.get("Outputs", ())}
        return StackState(name, found["StackStatus"], found.get("StackStatusReason") or ""), outputs

    def resources(self) -> Sequence[Resource]:
        return list(self._resources)

    @cached_property
    def _resources(self) -> tuple[Resource, ...]:
        there = [stack.name for stack in self.stacks() if stack.status]
        return tuple(resource for stack in there for resource in self._in_stack(stack))

    def _in_stack(self, stack: str) -> Iterator[Resource]:
        client = self._client("cloudformation")
        body = _asked(stack, lambda: client.get_template(StackName=stack)["TemplateBody"])
        template = json.loads(body) if isinstance(body, str) else body
        pages = client.get_paginator("list_stack_resources").paginate(StackName=stack)
        for item in _asked(stack, lambda: [i for page in pages for i in page["StackResourceSummaries"]]):
            asked = template["Resources"].get(item["LogicalResourceId"], {}).get("Properties", {})
            name = item.get("PhysicalResourceId", "")
            yield Resource(stack, item["LogicalResourceId"], item["ResourceType"], name, asked)

    def function(self, name: str) -> FunctionState:
        found = _asked(name, lambda: self._client("lambda").get_function_configuration(FunctionName=name))
        return FunctionState(
            state=found.get("State", "Active"),
            last_update=found.get("LastUpdateStatus", "Successful"),
            modified=found["LastModified"],
            environment=found.get("Environment", {}).get("Variables", {}),
            reason=found.get("StateReason") or found.get("LastUpdateStatusReason") or "",
        )

    def alias(self, function: str, name: str) -> AliasState:
        client = self._client("lambda")
        found = _asked(f"{function}:{name}", lambda: client.get_alias(FunctionName=function, Name=name))
        weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        return AliasState(
            function_version=found["FunctionVersion"],
            weights=weights,
            version_state=self._version_state(function, found["FunctionVersion"]),
            provisioned=self._provisioned(function),
            releasing=bool(weights) and self._releasing(),
        )

    def _version_state(self, function: str, version: str) -> str:
        client = self._client("lambda")
        try:
            found = _asked(
                f"{function}:{version}",
                lambda: client.get_function_configuration(FunctionName=function, Qualifier=version),
            )
        except NotFound:
            return ""
        return str(found.get("State", "Active"))

    def _provisioned(self, function: str) -> list[ProvisionedConcurrency]:
        client = self._client("lambda")
        pages = client.get_paginator("list_provisioned_concurrency_configs").paginate(FunctionName=function)
        try:
            items = _asked(
                function, lambda: [i for page in pages for i in page["ProvisionedConcurrencyConfigs"]]
            )
        except Unavailable as error:
            # An emulator's word for an empty list.
            if "ProvisionedConcurrencyConfigNotFoundException" in str(error):
                return []
            raise
        return [
            ProvisionedConcurrency(
                qualifier=item["FunctionArn"].rpartition(":")[2],
                status=item["Status"],
                requested=item["RequestedProvisionedConcurrentExecutions"],
                available=item["AvailableProvisionedConcurrentExecutions"],
            )
            for item in items
        ]

    def _releasing(self) -> bool:
        client = self._client("codedeploy")
        for resource in self._of("AWS::CodeDeploy::DeploymentGroup"):
            application = self._name_of(resource.stack, resource.asked["ApplicationName"])
            ask = partial(
                client.list_deployments,
                applicationName=application,
                deploymentGroupName=resource.name,
                includeOnlyStatuses=_UNDER_WAY,
            )
            if _asked(resource.name, ask)["deployments"]:
                return True
        return False

    def _of(self, kind: str) -> Iterable[Resource]:
        return (resource for resource in self._resources if resource.kind == kind)

    def _name_of(self, stack: str, value: Any) -> str:
        """What a property says: a name, or a reference to another resource of its stack."""
        if isinstance(value, str):
            return value
        for resource in self._resources:
            if (resource.stack, resource.logical_id) == (stack, value["Ref"]):
                return resource.name
        raise NotFound(f"{stack} has no {value}.")

    def table(self, name: str) -> TableState:
        client = self._client("dynamodb")
        found = _asked(name, lambda: client.describe_table(TableName=name)["Table"])
        if self._emulated:  # it makes tables without either, whatever a template asks for
            return TableState(
                found["TableStatus"], None, "", bool(found.get("DeletionProtectionEnabled")), None
            )
        backups = _asked(
            name,
            lambda: client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"],
        )
        recovery = backups.get("PointInTimeRecoveryDescription", {})
        expiry = _asked(name, lambda: client.describe_time_to_live(TableName=name)["TimeToLiveDescription"])
        earliest = recovery.get("EarliestRestorableDateTime")
        return TableState(
            status=found["TableStatus"],
            restorable=recovery.get("PointInTimeRecoveryStatus") == "ENABLED",
            earliest_restore=utc_iso(int(earliest.timestamp() * 1_000)) if earliest else "",
            protected=bool(found.get("DeletionProtectionEnabled")),
            expires_by=expiry["AttributeName"]
            if expiry["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
            else "",
            policed=self._is_policed(found["TableArn"]),
            replicas={item["RegionName"]: item["ReplicaStatus"] for item in found.get("Replicas", ())},
        )

    def _is_policed(self, table_arn: str) -> bool:
        try:
            self._client("dynamodb").get_resource_policy(ResourceArn=table_arn)
        except (BotoCoreError, ClientError) as error:
            if cause(error) == "PolicyNotFoundException":
                return False
            raise _failed(table_arn, error) from error
        return True

    def stream(self, name: str) -> StreamState:
        client = self._client("kinesis")
        found = _asked(
            name, lambda: client.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
        )
        return StreamState(
            found["StreamStatus"],
            None if self._emulated else found.get("EncryptionType", "NONE") != "NONE",
            found["RetentionPeriodHours"],
        )

    def consumer(self, id: str) -> ConsumerState:
        found = _asked(
            f"event source mapping {id}", lambda: self._client("lambda").get_event_source_mapping(UUID=id)
        )
        function = found["FunctionArn"].partition(":function:")[2]
        return ConsumerState(
            function, found["State"], found.get("LastProcessingResult") or "", self._iterator_age_ms(function)
        )

    def _iterator_age_ms(self, function: str) -> int | None:
        if self._emulated:
            return None
        now = datetime.fromtimestamp(time.time(), UTC)
        points = _asked(
            f"metric IteratorAge of {function}",
            lambda: self._client("cloudwatch").get_metric_statistics(
                Namespace="AWS/Lambda",
                MetricName="IteratorAge",
                Dimensions=[{"Name": "FunctionName", "Value": function}],
                StartTime=now - timedelta(minutes=_AGE_MINUTES),
                EndTime=now,
                Period=_AGE_MINUTES * 60,
                Statistics=["Maximum"],
            )["Datapoints"],
        )
        # No batch, no age: what does not read shows in its mapping and in the archive's count.
        return max((int(point["Maximum"]) for point in points), default=0)

    def delivery(self, name: str) -> str:
        client = self._client("firehose")
        found = _asked(name, lambda: client.describe_delivery_stream(DeliveryStreamName=name))
        return str(found["DeliveryStreamDescription"]["DeliveryStreamStatus"])

    def bucket(self, name: str) -> BucketState:
        client = self._client("s3")
        versioning = _asked(name, lambda: client.get_bucket_versioning(Bucket=name))
        return BucketState(
            versioned=versioning.get("Status") == "Enabled",
            private=self._is_private(name),
            encryption=None if self._emulated else self._encryption(name),
            lock=self._lock(name),
        )

    def _is_private(self, name: str) -> bool:
        blocked = self._or_none(name, "get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
        return blocked is not None and all(blocked["PublicAccessBlockConfiguration"].values())

    def _encryption(self, name: str) -> str:
        found = self._or_none(name, "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError")
        if found is None:
            return ""
        (rule,) = found["ServerSideEncryptionConfiguration"]["Rules"]
        return str(rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"])

    def _lock(self, name: str) -> str:
        found = self._or_none(name, "get_object_lock_configuration", "ObjectLockConfigurationNotFoundError")
        if found is None:
            return ""
        rule = found["ObjectLockConfiguration"].get("Rule", {}).get("DefaultRetention", {})
        if "Days" in rule or "Years" in rule:
            length = f"{rule['Days']} days" if "Days" in rule else f"{rule['Years']} years"
            return f"{length} ({rule['Mode'].lower()})"
        return ""

    def _or_none(self, bucket: str, operation: str, absent: str) -> Mapping[str, Any] | None:
        try:
            found: Mapping[str, Any] = getattr(self._client("s3"), operation)(Bucket=bucket)
        except (BotoCoreError, ClientError) as error:
            if cause(error) == absent:
                return None
            raise _failed(bucket, error) from error
        return found

    def key(self, id: str) -> KeyState:
        client = self._client("kms")
        found = _asked(id, lambda: client.describe_key(KeyId=id)["KeyMetadata"])
        rotates = False
        if found["KeyState"] == "Enabled" and found["KeySpec"] == "SYMMETRIC_DEFAULT":
            rotates = _asked(id, lambda: client.get_key_rotation_status(KeyId=id)["KeyRotationEnabled"])
        return KeyState(found["KeyState"], rotates)

    def messages(self, queue: str) -> int:
        wanted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = _asked(
            queue,
            lambda: self._client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)[
                "Attributes"
            ],
        )
        return sum(int(found[name]) for name in wanted)

    def rule(self, name: str) -> str:
        found = _asked(name, lambda: self._client("events").describe_rule(Name=name))
        return str(found["State"])

    def machine(self, arn: str) -> str:
        client = self._client("stepfunctions")
        return str(_asked(arn, lambda: client.describe_state_machine(stateMachineArn=arn)["status"]))

    def alarms(self) -> Sequence[AlarmState] | None:
        if self._emulated:
            return None
        client = self._client("cloudwatch")
        pages = client.get_paginator("describe_alarms").paginate(
            AlarmTypes=["MetricAlarm", "CompositeAlarm"], AlarmNamePrefix=f"quicksilver-{self._stage}-"
        )
        found = _asked(
            "the alarms",
            lambda: [
                item for page in pages for kind in ("MetricAlarms", "CompositeAlarms") for item in page[kind]
            ],
        )
        return [
            AlarmState(
                item["AlarmName"],
                item["StateValue"],
                utc_iso(int(item["StateUpdatedTimestamp"].timestamp() * 1_000)),
                item.get("AlarmDescription", ""),
            )
            for item in found
        ]

    def objects(
        self, bucket: str, prefix: str, *, after: str = "", most: int = 10_000
    ) -> Sequence[KeptObject]:
        start = {"StartAfter": after} if after else {}
        pages = (
            self._client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix, PaginationConfig={"MaxItems": most}, **start)
        )
        return [
            KeptObject(item["Key"], int(item["LastModified"].timestamp() * 1_000))
            for item in _asked(bucket, lambda: [i for page in pages for i in page.get("Contents", ())])
        ]

    def folders(self, bucket: str, prefix: str) -> Sequence[str]:
        pages = (
            self._client("s3")
            .get_paginator("list_objects_v2")
            .paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        )
        return [
            i["Prefix"]
            for i in _asked(bucket, lambda: [i for page in pages for i in page.get("CommonPrefixes", ())])
        ]

    def skew_ms(self) -> int:
        before = time.time()
        answer = _asked("our identity", lambda: self._client("sts").get_caller_identity())
        ours = (before + time.time()) / 2
        theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()
        return round(ours - theirs) * 1_000


def _asked(what: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise _failed(what, error) from error


def _failed(what: str, error: BotoCoreError | ClientError) -> NotFound | Unavailable:
    if cause(error) in _GONE:
        return NotFound(f"There is no {what}.")
    return _unavailable(what, error)


def _unavailable(what: str, error: BotoCoreError | ClientError) -> Unavailable:
    return Unavailable(f"AWS does not say how {what} is: {cause(error)}.")
