"""No secret in a template or in the repository, and nothing that is asked without TLS."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.infrastructure.conftest import ROOT, Synthesized

PATTERNS = {
    "an access key of AWS": r"\b(?:AKIA|ASIA)(?=[A-Z0-9]*[0-9])[A-Z0-9]{16}\b",
    # Forty characters of base64 that are not the hex of a commit or a digest.
    "a secret key of AWS": r"(?<![A-Za-z0-9/+_-])(?=[A-Za-z0-9/+]*[A-Z])(?=[A-Za-z0-9/+]*[a-z])(?=[A-Za-z0-9/+]*[0-9])"
    r"(?=[A-Za-z0-9/+]*[/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+_=.-])",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})\b",
    "a token of Slack": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a token in JSON": r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.",
    "a password in an address": r"\b[a-z][a-z0-9+]*://[^\s/:@'\"{}<>$]+:[^\s/:@'\"{}<>$]+@",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in PATTERNS.items()}
TOLD_NAMES = re.compile(r"SECRET|TOKEN|PASSWORD|CREDENTIAL|PRIVATE", re.IGNORECASE)
OF_AWSS_DOCUMENTATION = "EXAMPLE"
"""Keys in AWS's documentation say so, and open nothing."""


def secrets(text: str) -> Iterator[str]:
    for kind, pattern in _PATTERNS.items():
        for found in pattern.finditer(text):
            if OF_AWSS_DOCUMENTATION not in found[0]:
                yield f"{kind}: {found[0][:8]}..."


def test_no_template_holds_a_secret(every_stage: Synthesized) -> None:
    for template in every_stage.templates:
        assert list(secrets(json.dumps(template))) == []


def test_no_function_is_told_one_by_its_environment(every_stage: Synthesized) -> None:
    for function in every_stage.of_type("AWS::Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert not [name for name in variables if TOLD_NAMES.search(name)]
        # Whoever may read a configuration reads what a dynamic reference was resolved to.
        assert "{{resolve:" not in json.dumps(variables)


def test_the_repository_holds_none() -> None:
    found = {}
    for path in sources():
        if path.stat().st_size < 2_000_000:
            inside = list(secrets(path.read_bytes().decode(errors="replace")))
            if inside:
                found[str(path.relative_to(ROOT))] = inside
    assert found == {}


def sources() -> Iterator[Path]:
    """What is committed, or would be: the tree without what set-up, builds and runs make. It may have come without its history."""
    for folder, folders, files in os.walk(ROOT):
        here = Path(folder)
        folders[:] = [
            name
            for name in folders
            if name not in ("node_modules", "__pycache__", "build", "cdk.out")
            and (not name.startswith(".") or (here == ROOT and name in (".ci", ".github")))
        ]
        yield from (here / name for name in files if not name.endswith((".pyc", ".so")))


@pytest.mark.parametrize(
    "text",
    [
        "key = AKIA" + "Q3EGRIQ7ZZ4X2ABC",
        "aws_secret_access_key=" + "q7Jv+Zk3/pR8sT1uW5xY" + "9bC2dE4fG6hI0jK/lM+n",
        "-----BEGIN " + "RSA PRIVATE KEY-----",
        "GH_TOKEN: ghp_" + "a1B2" * 9,
        "postgres://app:" + "hunter2@db",
    ],
)
def test_what_is_a_secret_is_found(text: str) -> None:
    assert list(secrets(text)) != []


@pytest.mark.parametrize(
    "text",
    ["6f4fe0131f972e591b95771c5ded6db8992cc000", "AKIAIOSFODNN7EXAMPLE", "https://example.com:443/a@b"],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    assert list(secrets(text)) == []


@pytest.mark.parametrize(
    ("kind", "policy", "names"),
    [
        ("AWS::SQS::Queue", "AWS::SQS::QueuePolicy", "Queues"),
        ("AWS::SNS::Topic", "AWS::SNS::TopicPolicy", "Topics"),
    ],
)
def test_queues_and_topics_refuse_plain_http(
    every_stage: Synthesized, kind: str, policy: str, names: str
) -> None:
    refusing = {
        name["Ref"]
        for item in every_stage.of_type(policy).values()
        for statement in item["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
        for name in item["Properties"][names]
    }
    assert refusing == set(every_stage.of_type(kind))
