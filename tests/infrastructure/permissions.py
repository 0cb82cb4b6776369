"""What a function needs to be allowed, by the calls its code reaches, and what its role allows: both as pairs of an action and
a resource, by the resource's logical id.

Needed is derived, and not declared: which adapters a function wires and which resource each of them is given, by the bootstrap's
source and the function's environment; which of their methods are reached, by types (``reached.py``); which operations those
call, by their names in botocore's own models. Declared is only what no code says: under which keys an adapter's objects lie,
and which paths of an API a client's methods call.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import botocore.session
from botocore import xform_name

from quicksilver.settings import Engine
from tests.infrastructure.conftest import ROOT, Resource, Synthesized
from tests.infrastructure.reached import ADAPTERS, Program, Reached

Permission = tuple[str, str]

SERVICES = {
    "AWS::DynamoDB::Table": "dynamodb",
    "AWS::S3::Bucket": "s3",
    "AWS::Kinesis::Stream": "kinesis",
    "AWS::KMS::Key": "kms",
    "AWS::SNS::Topic": "sns",
    "AWS::ApiGateway::RestApi": "execute-api",
}
NAMED = {"event_bus": ("events", "event-bus/{}"), "athena_workgroup": ("athena", "workgroup/{}")}
"""Settings whose value is a name that a deployment need not tell: service, and how its ARN ends."""

UNDER = {
    "S3ArtifactStore.get": ["packages/"],
    "S3ArtifactStore.put": ["packages/"],
    "S3ArtifactStore.get_evidence": ["evidence/"],
    "S3ArtifactStore.put_evidence": ["evidence/"],
    "S3ContractStore.keep": ["contracts/"],
    "S3UndeliveredStore.keep": ["undelivered/{endpoint}/"],
    "S3UndeliveredStore.batches": ["undelivered/"],
    "S3UndeliveredStore.read": ["undelivered/"],
    "S3UndeliveredStore.discard": ["undelivered/"],
    "S3UndeliveredStore.replace": ["undelivered/"],
    "S3OutcomeStore.keep": ["outcomes/{endpoint}/"],
    "S3ShadowScoreStore.keep": ["shadow/"],
    "S3ObjectStore.get": ["training/"],
    "S3ObjectStore.put": ["training/"],
    "S3ObjectStore.put_file": ["training/"],
    "S3Archive.objects": ["predictions/", "outcomes/"],
    "S3Archive.copy": ["predictions/", "outcomes/"],
    "S3MonitoringStore.get": ["monitoring/"],
    "S3MonitoringStore.put": ["monitoring/"],
    "S3MonitoringStore.claim": ["monitoring/"],
    "S3MonitoringStore.names": ["monitoring/"],
}
"""Where the objects lie that a method reads and writes."""

NARROWER = {
    ("drift", "S3Archive.objects"): ["predictions/"],
    ("drift", "S3Archive.copy"): ["predictions/"],
    # A step of a retraining reads the request that it is for, and claims it for its execution.
    ("candidate", "S3MonitoringStore.get"): ["monitoring/retrain/"],
    ("train", "S3MonitoringStore.get"): ["monitoring/retrain/"],
    ("training_set", "S3MonitoringStore.get"): ["monitoring/retrain/", "monitoring/retraining/"],
    ("training_set", "S3MonitoringStore.claim"): ["monitoring/retraining/"],
}
"""The same for a function that asks for less of it."""

PATHS = {
    "RegistryClient.register": "POST/v1/registry/{endpoint}/models",
    "RegistryClient.add_evidence": "POST/v1/registry/{endpoint}/models/*/evidence",
    "RegistryClient.add_shadow": "POST/v1/registry/{endpoint}/shadows",
    "RegistryClient.decide_rollout": "POST/v1/registry/{endpoint}/rollout/decision",
}
"""What a client of an API of ours calls."""

ACTIONS = {
    "list_objects_v2": ["s3:ListBucket"],
    "invoke": ["lambda:InvokeFunction"],
    # A transaction is authorized by what is in it; ours are of puts.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis-iam.html
    "transact_write_items": ["dynamodb:PutItem"],
    # Boto's managed transfer: a large file goes in parts, and a failure takes them back.
    "upload_file": ["s3:PutObject", "s3:AbortMultipartUpload"],
}
"""By operation, where the action is not called like it."""

OF_A_RELEASE = {
    "lambda:InvokeFunction": "{function}:*",
    "lambda:GetProvisionedConcurrencyConfig": "{function}:*",
    "lambda:PutProvisionedConcurrencyConfig": "{function}:*",
    "lambda:DeleteProvisionedConcurrencyConfig": "{function}:*",
    "lambda:GetAlias": "{function}",
    "lambda:ListProvisionedConcurrencyConfigs": "{function}",
    "codedeploy:GetDeployment": "deploymentgroup:{group}",
    "codedeploy:PutLifecycleEventHookExecutionStatus": "deploymentgroup:{group}",
    "codedeploy:GetApplicationRevision": "application:{application}",
}
"""What a hook of a release is asked about: any function version of the functions that it is told, and the deployments of the
stage. "Actions, resources, and condition keys" for AWS Lambda and for AWS CodeDeploy, Service Authorization Reference."""

KEYS = {
    "dynamodb:": ["kms:Decrypt"],  # the table's key, opened with the caller's own permission
    "s3:GetObject": ["kms:Decrypt"],
    "s3:PutObject": ["kms:GenerateDataKey"],
    "s3:AbortMultipartUpload": ["kms:Decrypt"],  # parts are read again when they are joined
    "kinesis:PutRecords": ["kms:GenerateDataKey"],
    "kinesis:GetRecords": ["kms:Decrypt"],
    "sns:Publish": ["kms:Decrypt", "kms:GenerateDataKey"],
}
"""What an action takes of the key that its resource is encrypted with, by how the action begins."""

READING_A_STREAM = [
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
]
"""By Lambda itself, for a mapping. https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html"""

ENGINES = {
    Engine.ATHENA: "quicksilver.sql.engine.DuckDBEngine",
    Engine.DUCKDB: "quicksilver.aws.athena.AthenaEngine",
}
"""By the engine that a stage has chosen, the one that is never made."""


OF_AN_OBJECT = " that an object is absent"
"""A list by prefix does not say so: a request for an object has no prefix, and a condition on one must hold without."""


class Unexplained(AssertionError):
    """A sentence for whoever added what this module knows nothing of."""


def service_name(function: Resource) -> str:
    """``score-card-fraud``: what ``stacks/`` calls the function."""
    name: str = function["Properties"]["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    return name


def folder(function: Resource) -> str:
    """The folder of its handler under ``lambdas/``."""
    name = service_name(function)
    found = "score" if name.startswith("score-") else name.replace("-", "_")
    if not (ROOT / "lambdas" / found / "handler.py").exists():
        raise Unexplained(
            f"The function {name} has no lambdas/{found}/handler.py, so nobody knows what it calls: name its folder like it."
        )
    return found


# -- templates --


@dataclass(frozen=True)
class Templates:
    """A stage's templates as one: exports are followed, and ARNs end in logical ids."""

    synthesized: Synthesized

    @property
    def resources(self) -> Mapping[str, Resource]:
        return self.synthesized.resources

    def exported(self, name: str) -> Any:
        for template in self.synthesized.templates:
            for output in template.get("Outputs", {}).values():
                if output.get("Export", {}).get("Name") == name:
                    return output["Value"]
        raise Unexplained(f"No stack exports {name}.")

    def text(self, value: Any) -> str:
        """A value as one text: a resource by its logical id, an ARN without what only a deployment knows."""
        match value:
            case str():
                return value
            case {"Fn::ImportValue": str(name)}:
                return self.text(self.exported(name))
            case {"Ref": str(name)}:
                return "" if name.startswith("AWS::") else name
            case {"Fn::GetAtt": [str(name), _]}:
                return name
            case {"Fn::Join": [str(between), [*parts]]}:
                return between.join(self.text(part) for part in parts)
        raise Unexplained(f"{json.dumps(value)} is a reference of a kind that nobody has used before.")

    def resource(self, value: Any) -> str:
        """The resource that a statement names: ``Archive1A2B/undelivered/*``, ``event-bus/default``."""
        return re.sub(r"^arn:[^:]*:[^:]*:[^:]*:[^:]*:", "", self.text(value))

    def key_of(self, logical_id: str) -> str | None:
        """The customer-managed key that a resource is encrypted with."""
        resource = self.resources.get(logical_id)
        if resource is None:
            return None
        match resource["Type"], resource["Properties"]:
            case "AWS::DynamoDB::Table", {"SSESpecification": {"KMSMasterKeyId": key}}:
                return self.text(key)
            case "AWS::Kinesis::Stream", {"StreamEncryption": {"KeyId": key}}:
                return self.text(key)
            case "AWS::SNS::Topic", {"KmsMasterKeyId": key}:
                return self.text(key)
            case "AWS::S3::Bucket", {"BucketEncryption": {"ServerSideEncryptionConfiguration": [rule]}}:
                key = rule["ServerSideEncryptionByDefault"].get("KMSMasterKeyID")
                return self.text(key) if key else None
        return None


def granted(templates: Templates, role: str) -> set[Permission]:
    """What the policies of a role allow. A list of a bucket is by prefix: ``Archive?training/*``."""
    properties = templates.resources[role]["Properties"]
    if properties.get("ManagedPolicyArns"):
        raise Unexplained(f"{role} has managed policies, which say more than one function needs.")
    documents = [policy["PolicyDocument"] for policy in properties.get("Policies", ())]
    documents += [
        policy["Properties"]["PolicyDocument"]
        for policy in templates.resources.values()
        if policy["Type"] == "AWS::IAM::Policy" and {"Ref": role} in policy["Properties"]["Roles"]
    ]
    found: set[Permission] = set()
    for document in documents:
        for statement in document["Statement"]:
            if statement["Effect"] == "Allow":
                for action in _list(statement["Action"]):
                    for value in _list(statement["Resource"]):
                        found.update(_listed(action, templates.resource(value), statement))
    return found


def _listed(action: str, resource: str, statement: Mapping[str, Any]) -> Iterator[Permission]:
    if action != "s3:ListBucket":
        yield action, resource
        return
    conditions = statement.get("Condition", {"": {}})
    for condition in conditions.values():
        for prefix in _list(condition.get("s3:prefix", "*")):
            yield action, f"{resource}?{prefix}"
    if set(conditions) == {"StringLikeIfExists"}:
        yield action, f"{resource}{OF_AN_OBJECT}"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


# -- what is needed --


@cache
def operations(service: str) -> Mapping[str, str]:
    """The operations of a service by their name in Python."""
    if service == "execute-api":
        return {}
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name): name for name in model.operation_names} | (
        {"upload_file": "PutObject"} if service == "s3" else {}
    )


@dataclass(frozen=True)
class Needs:
    """What one function of a stage needs."""

    program: Program
    templates: Templates
    function: Resource

    @property
    def permissions(self) -> set[Permission]:
        needed = {*self._logging(), *self._mapped(), *self._called()}
        for action, resource in sorted(needed):
            key = self.templates.key_of(resource.partition("/")[0])
            if key:
                needed.update(
                    (verb, key) for start, verbs in KEYS.items() if action.startswith(start) for verb in verbs
                )
        return needed

    def _logging(self) -> Iterator[Permission]:
        group = self.templates.text(self.function["Properties"]["LoggingConfig"]["LogGroup"])
        yield "logs:CreateLogStream", group
        yield "logs:PutLogEvents", group

    def _mapped(self) -> Iterator[Permission]:
        """What Lambda does in the function's name for the streams it is given."""
        (own,) = (name for name, item in self.templates.resources.items() if item is self.function)
        for mapping in self.templates.resources.values():
            properties = mapping.get("Properties", {})
            if (
                mapping["Type"] == "AWS::Lambda::EventSourceMapping"
                and self.templates.text(properties["FunctionName"]) == own
            ):
                for action in READING_A_STREAM:
                    yield action, self.templates.text(properties["EventSourceArn"])
                yield (
                    "sqs:SendMessage",
                    self.templates.text(properties["DestinationConfig"]["OnFailure"]["Destination"]),
                )

    # -- what its code calls --

    @property
    def _variables(self) -> Mapping[str, Any]:
        variables: Mapping[str, Any] = self.function["Properties"]["Environment"]["Variables"]
        return variables

    @property
    def _engine(self) -> Engine | None:
        value = self._variables.get("QUICKSILVER_ENGINE")
        return Engine(value) if value else None

    def _called(self) -> Iterator[Permission]:
        handler = folder(self.function)
        reached = self.program.reached(handler, never_made=[ENGINES[self._engine]] if self._engine else [])
        wired = self._wired(reached)
        for adapter, methods in reached.methods_of_adapters().items():
            settings = wired.get(adapter)
            if settings is None or not settings <= self._told:
                continue  # it is made for no resource, or for one that this function is not given
            for method in methods:
                yield from self._of_method(handler, adapter, method, settings)
        for adapter in reached.methods_of_adapters().keys() - wired.keys():
            methods = reached.methods_of_adapters()[adapter]
            if "QUICKSILVER_FUNCTIONS" in self._variables:
                released = {*self._of_releases(adapter, methods)}
                yield from released
                if released:
                    continue
            self._explain_unwired(adapter, methods)

    @property
    def _told(self) -> set[str]:
        """The settings that the function's environment gives it."""
        start = "QUICKSILVER_"
        return {name.removeprefix(start).lower() for name in self._variables if name.startswith(start)}

    def _wired(self, reached: Reached) -> dict[str, set[str]]:
        """The settings that each adapter is made with in a bootstrap module, of those that name a resource."""
        names = {
            adapter.rpartition(".")[2]: adapter for adapter in reached.made if adapter.startswith(ADAPTERS)
        }
        found: dict[str, set[str]] = {}
        for function in reached.functions:
            if function.startswith("quicksilver.bootstrap."):
                for call in ast.walk(self.program.source(function)):
                    if (
                        isinstance(call, ast.Call)
                        and isinstance(call.func, ast.Name)
                        and call.func.id in names
                    ):
                        settings = {
                            part.attr
                            for part in ast.walk(call)
                            if isinstance(part, ast.Attribute)
                            and isinstance(part.value, ast.Name)
                            and part.value.id == "settings"
                        }
                        found.setdefault(names[call.func.id], set()).update(settings)
        return {adapter: settings for adapter, settings in found.items() if settings}

    def _of_releases(self, adapter: str, methods: set[str]) -> Iterator[Permission]:
        """What a hook asks of the functions that it is told, and of their deployments."""
        for service in ("lambda", "codedeploy"):
            known = operations(service)
            for method in methods:
                for operation in self._operations(f"{adapter}.{method}", set(known)):
                    for action in ACTIONS.get(operation, [f"{service}:{known[operation]}"]):
                        for parts in self._released():
                            yield action, OF_A_RELEASE[action].format(**parts)

    def _released(self) -> Iterator[dict[str, str]]:
        """Each function that is released, with its group of deployments and their application."""
        told = set(json.loads(self._variables["QUICKSILVER_FUNCTIONS"]).values())
        for name, alias in self.templates.resources.items():
            if alias["Type"] == "AWS::Lambda::Alias":
                function = self.templates.text(alias["Properties"]["FunctionName"])
                if self.templates.resources[function]["Properties"]["FunctionName"] in told:
                    assert "UpdatePolicy" in alias, name
                    update = alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
                    application = self.templates.text(update["ApplicationName"])
                    group = self.templates.text(update["DeploymentGroupName"])
                    yield {
                        "function": function,
                        "application": application,
                        "group": f"{application}/{group}",
                    }

    def _explain_unwired(self, adapter: str, methods: set[str]) -> None:
        """An adapter that calls AWS must be given its resource by a setting: else nobody can say which one it is."""
        every = {
            name
            for service in (
                *set(SERVICES.values()),
                "athena",
                "events",
                "lambda",
                "codedeploy",
                "stepfunctions",
            )
            for name in operations(service)
        }
        for method in methods:
            if called := self._operations(f"{adapter}.{method}", every):
                raise Unexplained(
                    f"{service_name(self.function)} reaches {adapter}.{method}, which calls {sorted(called)}, and no setting says "
                    "on which resource: give it one in bootstrap/, or say in tests/infrastructure/permissions.py what it needs."
                )

    def _of_method(self, handler: str, adapter: str, method: str, settings: set[str]) -> Iterator[Permission]:
        name = f"{adapter.rpartition('.')[2]}.{method}"
        for service, resource in self._resources(settings):
            if service == "execute-api":
                yield from self._of_path(name, resource)
            known = operations(service)
            for operation in self._operations(f"{adapter}.{method}", set(known)):
                for action in ACTIONS.get(operation, [f"{service}:{known[operation]}"]):
                    if service == "s3":
                        yield from self._of_objects(handler, name, action, resource)
                    else:
                        yield action, resource
                if operation == "start_query_execution":
                    yield from self._of_a_query(handler)
        if self._tells_absence(adapter, method):
            for _, resource in self._resources(settings):
                yield "s3:ListBucket", f"{resource}{OF_AN_OBJECT}"
                for prefix in self._under(handler, name):
                    yield "s3:ListBucket", f"{resource}?{prefix}*"

    def _resources(self, settings: set[str]) -> Iterator[tuple[str, str]]:
        for setting in sorted(settings):
            value = self._variables[f"QUICKSILVER_{setting.upper()}"]
            if setting in NAMED:
                service, ending = NAMED[setting]
                yield service, ending.format(self.templates.text(value))
                continue
            if isinstance(value, str):
                continue  # a plain value, and no resource
            text = self.templates.text(value)
            for name, resource in self.templates.resources.items():
                if resource["Type"] in SERVICES and name in text:
                    yield SERVICES[resource["Type"]], name

    def _operations(self, method: str, known: set[str]) -> set[str]:
        """The operations that a method calls, by itself and by what it uses of its own module: as an attribute of a client, or
        as a word in quotes, for a paginator."""
        module = self.program.module_of(method)
        found: set[str] = set()
        for function in self.program.within(module, method):
            found |= known & self.program.untyped(function)
            for node in ast.walk(self.program.source(function)):
                if isinstance(node, ast.Constant) and node.value in known:
                    found.add(node.value)
        return found

    def _tells_absence(self, adapter: str, method: str) -> bool:
        """Whether a method tells an absent object from one that it may not read; S3 says so to who may list the bucket alone.
        https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html"""
        words = {
            node.value
            for function in self.program.within(self.program.module_of(adapter), f"{adapter}.{method}")
            for node in ast.walk(self.program.source(function))
            if isinstance(node, ast.Constant)
        }
        return "NoSuchKey" in words and "AccessDenied" not in words

    # -- the parts of resources --

    def _under(self, handler: str, name: str) -> list[str]:
        prefixes = NARROWER.get((handler, name)) or UNDER.get(name)
        if prefixes is None:
            raise Unexplained(
                f"{name} reads or writes objects: say under which keys in tests/infrastructure/permissions.py."
            )
        return [given for prefix in prefixes for given in self._for_endpoints(prefix)]

    def _for_endpoints(self, text: str) -> list[str]:
        if "{endpoint}" not in text:
            return [text]
        own = self._variables.get("QUICKSILVER_ENDPOINT")
        names = [own] if own else [endpoint.name for endpoint in self.templates.synthesized.stage.endpoints]
        return [text.format(endpoint=name) for name in names]

    def _of_objects(self, handler: str, name: str, action: str, bucket: str) -> Iterator[Permission]:
        listing = action == "s3:ListBucket"
        for prefix in self._under(handler, name):
            yield (action, f"{bucket}?{prefix}*") if listing else (action, f"{bucket}/{prefix}*")

    def _of_path(self, name: str, api: str) -> Iterator[Permission]:
        path = PATHS.get(name)
        if path is None:
            raise Unexplained(
                f"{name} calls an API of ours: say which path in tests/infrastructure/permissions.py."
            )
        for given in self._for_endpoints(path):
            yield "execute-api:Invoke", f"{api}/{self.templates.synthesized.stage.name}/{given}"

    def _results_of_queries(self) -> str:
        (workgroup,) = self.templates.synthesized.of_type("AWS::Athena::WorkGroup").values()
        result = workgroup["Properties"]["WorkGroupConfiguration"]["ResultConfiguration"]
        return self.templates.text(result["OutputLocation"]).removeprefix("s3://")

    def _of_a_query(self, handler: str) -> Iterator[Permission]:
        """What Athena does in the caller's name. "Fine-grained access to databases and tables in the AWS Glue Data Catalog" and
        "Access to Amazon S3" (Amazon Athena User Guide)."""
        database = self._variables["QUICKSILVER_ATHENA_DATABASE"]
        bucket = self.templates.text(self._variables["QUICKSILVER_ARCHIVE_BUCKET"])
        for action in ("glue:GetDatabase", "glue:GetTable", "glue:GetPartitions"):
            for resource in ("catalog", f"database/{database}", f"table/{database}/*"):
                yield action, resource
        results = self._results_of_queries()
        yield "s3:GetBucketLocation", results.partition("/")[0]
        yield "s3:GetObject", f"{results}*"
        yield "s3:PutObject", f"{results}*"
        for prefix in self._under(handler, "S3Archive.objects"):
            yield "s3:GetObject", f"{bucket}/{prefix}*"
            yield "s3:ListBucket", f"{bucket}?{prefix}*"


# -- for people --


def roles_table(templates: Templates) -> str:
    """What each function's role allows, as Markdown: resources by their ids in the stacks, each with its verbs."""
    rows = {}
    for function in templates.synthesized.of_type("AWS::Lambda::Function").values():
        allowed: dict[str, set[str]] = {}
        for action, resource in granted(templates, templates.text(function["Properties"]["Role"])):
            if not action.startswith("logs:"):
                allowed.setdefault(_plain(resource), set()).add(action.partition(":")[2])
        rows[service_name(function)] = "; ".join(
            f"`{resource}` {', '.join(sorted(verbs))}" for resource, verbs in sorted(allowed.items())
        )
    lines = [f"| `{name}` | {may} |" for name, may in sorted(rows.items())]
    return "\n".join(["| function | may do |", "|---|---|", *lines])


def _plain(resource: str) -> str:
    """Logical ids without their hashes, and a list of a bucket by the prefix alone."""
    return re.sub(r"[0-9A-F]{8}\b", "", resource)
