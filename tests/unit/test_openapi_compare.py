"""What breaks a caller is one sentence each, and what doesn't is none."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stacks.config import ConfigError
from stacks.openapi.compare import breaking_changes, earlier
from stacks.openapi.documents import DOCUMENTS

Change = Callable[[dict[str, Any]], Any]
ROOT = Path(__file__).resolve().parents[2]
SCORE, BATCH = "/v1/{endpoint}/score", "/v1/{endpoint}/score-batch"
OLD = DOCUMENTS["openapi-scoring.json"]()


def changed(change: Change) -> list[str]:
    new = copy.deepcopy(OLD)
    change(new)
    assert new != OLD
    return breaking_changes(OLD, new)


def schema(made: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = made["components"]["schemas"][name]
    return found


def operation(made: dict[str, Any], path: str = SCORE) -> dict[str, Any]:
    found: dict[str, Any] = made["paths"][path]["post"]
    return found


def parameter(made: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (each for each in operation(made)["parameters"] if each["name"] == name)
    result: dict[str, Any] = found
    return result


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_does_not_break_itself(name: str) -> None:
    assert breaking_changes(DOCUMENTS[name](), DOCUMENTS[name]()) == []


BREAKING: list[tuple[Change, str]] = [
    (lambda made: made["paths"].pop(BATCH), f"{BATCH} is gone."),
    (lambda made: made["paths"][SCORE].pop("post"), f"POST {SCORE} is gone."),
    # requests
    (
        lambda made: schema(made, "ScoreRequest")["required"].append("keys"),
        f"POST {SCORE}: the body, keys: is required.",
    ),
    (
        lambda made: schema(made, "ScoreRequest")["properties"].pop("keys"),
        f"POST {SCORE}: the body, keys: is not accepted any more.",
    ),
    (
        lambda made: schema(made, "ScoreRequest")["properties"]["entity_id"].update(maxLength=64),
        f"POST {SCORE}: the body, entity_id: maxLength was 128 and is 64.",
    ),
    (
        lambda made: schema(made, "ScoreRequest")["properties"]["entity_id"].update(pattern="^[a-z]+$"),
        f"POST {SCORE}: the body, entity_id: pattern was ^[!-~]+$ and is ^[a-z]+$.",
    ),
    (
        lambda made: schema(made, "ScoreRequest")["properties"]["entity_id"].update(type="integer"),
        f"POST {SCORE}: the body, entity_id: type was string and is integer.",
    ),
    (
        lambda made: schema(made, "BatchRequest")["properties"]["rows"].update(maxItems=100),
        f"POST {BATCH}: the body, rows: maxItems was 500 and is 100.",
    ),
    (
        lambda made: operation(made)["requestBody"].update({"x-max-bytes": 1_024}),
        f"POST {SCORE}: the body may have 1024 bytes, no longer 65536.",
    ),
    (
        lambda made: operation(made)["requestBody"].update(content={"text/csv": {"schema": {}}}),
        f"POST {SCORE}: the body is not accepted as application/json any more.",
    ),
    (
        lambda made: parameter(made, "reasons")["schema"].update(enum=["top", "all"]),
        f'POST {SCORE}: the query parameter reasons: "none" is not accepted any more.',
    ),
    (
        lambda made: operation(made)["parameters"].remove(parameter(made, "Idempotency-Key")),
        f"POST {SCORE}: the header parameter Idempotency-Key is gone.",
    ),
    (
        lambda made: parameter(made, "X-Deadline-Ms").update(required=True),
        f"POST {SCORE}: the header parameter X-Deadline-Ms is required.",
    ),
    (
        lambda made: parameter(made, "X-Deadline-Ms")["schema"].update(maximum=1_000),
        f"POST {SCORE}: the header parameter X-Deadline-Ms: maximum was 999999 and is 1000.",
    ),
    (
        lambda made: operation(made)["parameters"].append(
            {"name": "X-Tenant", "in": "header", "required": True, "schema": {"type": "string"}}
        ),
        f"POST {SCORE}: the header parameter X-Tenant is new and required.",
    ),
    (
        lambda made: operation(made).update(security=[{"signature": [], "api_key": [], "token": []}]),
        f"POST {SCORE}: it needs credentials that it did not need.",
    ),
    # answers
    (
        lambda made: operation(made)["responses"].pop("409"),
        f"POST {SCORE}: the status 409 is gone.",
    ),
    (
        lambda made: schema(made, "ScoreResponse")["required"].remove("score"),
        f"POST {SCORE}: the answer 200, score: is not always there any more.",
    ),
    (
        lambda made: [
            schema(made, "ScoreResponse")["properties"].pop("route"),
            schema(made, "ScoreResponse")["required"].remove("route"),
        ],
        f"POST {SCORE}: the answer 200, route: is gone.",
    ),
    (
        lambda made: schema(made, "ScoreResponse")["properties"].update(score={"type": ["number", "null"]}),
        f"POST {SCORE}: the answer 200, score: type was number and is null.",
    ),
    (
        lambda made: schema(made, "Status")["enum"].append("declined"),
        f'POST {SCORE}: the answer 200, status: "declined" is new.',
    ),
    (
        lambda made: operation(made)["responses"]["200"]["headers"].pop("Idempotency-Status"),
        f"POST {SCORE}: the answer 200's Idempotency-Status is gone.",
    ),
    (
        lambda made: made["components"]["responses"]["ServiceUnavailable"]["headers"]["Retry-After"].update(
            required=False
        ),
        f"POST {SCORE}: the answer 503's Retry-After is not always there any more.",
    ),
    (
        lambda made: operation(made)["responses"]["200"].update(content={"text/csv": {"schema": {}}}),
        f"POST {SCORE}: the answer 200 is no application/json any more.",
    ),
    (
        lambda made: schema(made, "Problem")["properties"]["errors"].update(items={"type": "string"}),
        f"POST {SCORE}: the answer 400, errors[]: type was object and is string.",
    ),
]


@pytest.mark.parametrize(("change", "sentence"), BREAKING, ids=[sentence for _, sentence in BREAKING])
def test_what_breaks_a_caller_is_named(change: Change, sentence: str) -> None:
    assert sentence in changed(change)


KEEPING: dict[str, Change] = {
    "a path is added": lambda made: made["paths"].update({"/v1/{endpoint}/explain": made["paths"][SCORE]}),
    "an optional property may be sent": lambda made: schema(made, "ScoreRequest")["properties"].update(
        country={"type": "string"}
    ),
    "a bound is wider": lambda made: schema(made, "BatchRequest")["properties"]["rows"].update(maxItems=900),
    "a parameter takes one more value": lambda made: parameter(made, "reasons")["schema"]["enum"].append(
        "few"
    ),
    "an optional parameter is added": lambda made: operation(made)["parameters"].append(
        {"name": "X-Trace", "in": "header", "schema": {"type": "string"}}
    ),
    "an answer has one more property": lambda made: schema(made, "ScoreResponse")["properties"].update(
        shade={"type": "string"}
    ),
    "an answer has one value less": lambda made: schema(made, "Status")["enum"].remove("refer"),
    "what may have been null is always there": lambda made: schema(made, "ScoreResponse")[
        "properties"
    ].update(raw_score={"type": "number"}),
    "a status is added": lambda made: operation(made)["responses"].update(
        {"451": operation(made)["responses"]["403"]}
    ),
    "words are": lambda made: made["info"].update(description="Scores."),
}


@pytest.mark.parametrize("change", KEEPING.values(), ids=KEEPING)
def test_what_breaks_no_caller_is_let_pass(change: Change) -> None:
    assert changed(change) == []


# --- what it is compared with ------------------------------------------------------------------------------------


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True)  # noqa: S607


def test_a_document_is_read_at_a_revision_and_from_a_folder(tmp_path: Path) -> None:
    # Given a repository without a document, then with one, then with another that is not committed
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "Empty")
    assert earlier("main", "a.json", tmp_path) is None
    folder = tmp_path / "docs" / "schemas"
    folder.mkdir(parents=True)
    (folder / "a.json").write_text('{"at": "main"}')
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "A document")
    (folder / "a.json").write_text('{"at": "here"}')
    # When it is asked for, then each is found where it was named
    assert earlier("main", "a.json", tmp_path) == {"at": "main"}
    assert earlier("main~1", "a.json", tmp_path) is None
    assert earlier(str(folder), "a.json", tmp_path) == {"at": "here"}
    assert earlier(str(folder), "b.json", tmp_path) is None
    with pytest.raises(ConfigError, match="gone is neither a folder nor a revision"):
        earlier("gone", "a.json", tmp_path)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "stacks.openapi.compare", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_fails_with_a_sentence_for_each_break(tmp_path: Path) -> None:
    committed = ROOT / "docs" / "schemas" / "openapi-scoring.json"
    made = json.loads(committed.read_text())
    (tmp_path / committed.name).write_text(committed.read_text())
    same = run(str(tmp_path))
    assert (same.returncode, same.stderr) == (0, "")
    assert "openapi-registry.json" in same.stdout  # which the folder does not have
    schema(made, "ScoreRequest")["properties"]["entity_id"]["maxLength"] = 256
    (tmp_path / committed.name).write_text(json.dumps(made))
    narrower = run(str(tmp_path))
    assert narrower.returncode == 1
    assert f"POST {SCORE}: the body, entity_id: maxLength was 256 and is 128.\n" in narrower.stderr


@pytest.mark.parametrize("words", [(), ("--upload-pack=touch",), ("no-such-revision",)])
def test_the_command_says_what_to_give_it(words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "BASE=origin/main" in done.stderr or "fetch it first" in done.stderr
