"""The documentation says what there is: commands, targets, links, metrics and problems named in it exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.testing import CliRunner

from examples.card_fraud.contract import build_contract
from quicksilver.aws.api import ApiAnswer
from quicksilver.cli.app import app
from quicksilver.fallback import ModelCause
from quicksilver.features import Cause, build_vector, check_names
from quicksilver.metrics import ARM_METRICS, Metric
from quicksilver.ports import FeatureReading
from quicksilver.request import ScoreRequest

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
TEXT = "\n".join(path.read_text() for path in DOCS)

MAKE = re.compile(r"(?:^|`|&& )make ([a-z][a-z-]*)\b", re.MULTILINE)
QUICKSILVER = re.compile(r"(?:^|`|/)quicksilver ((?:[a-z]+ ?)+)", re.MULTILINE)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
EVENT = re.compile(r"events/\w+\.json")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def commands(group: TyperGroup, words: tuple[str, ...] = ()) -> Iterator[tuple[str, TyperCommand]]:
    """Every command that does something, by the words a person types after ``quicksilver``."""
    for name, command in group.commands.items():
        path = (*words, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, path)
        if not isinstance(command, TyperGroup) or command.invoke_without_command:
            yield " ".join(path), command


GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
COMMANDS = dict(commands(GROUP))
FAMILIES = {name.partition(" ")[0] for name in COMMANDS if " " in name}


def examples() -> list[str]:
    """Every command line of the pages, without its continuation marks, and each command's own example."""
    lines = TEXT.replace("\\\n", " ").splitlines()
    epilogs = [(command.epilog or "").removeprefix("Example: ") for command in COMMANDS.values()]
    return [line for line in [*lines, *epilogs] if line.startswith("quicksilver ")]


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """The command of a line and its arguments, as the command line itself understands them."""
    words = shlex.split(line.removeprefix("quicksilver "), comments=True)
    depth = 2 if " ".join(words[:2]) in COMMANDS else 1
    name = " ".join(words[:depth])
    return name, COMMANDS[name].make_context(name, words[depth:]).params


def named(page: Path, pattern: re.Pattern[str]) -> set[str]:
    return {match.strip() for match in pattern.findall(page.read_text())}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(page.read_text())
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_patterns_find_what_the_readme_surely_names() -> None:
    readme = ROOT / "README.md"
    assert {"demo", "test"} <= named(readme, MAKE)
    assert "score" in named(readme, QUICKSILVER)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named(page, MAKE) <= targets


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    for words in named(page, QUICKSILVER):
        first, _, rest = words.partition(" ")
        command = f"{first} {rest.partition(' ')[0]}" if first in FAMILIES and rest else first
        assert command in COMMANDS, f"quicksilver {words}"


@pytest.mark.parametrize("line", examples())
def test_every_example_is_understood_by_the_command_line(line: str) -> None:
    assert parsed(line)


@pytest.mark.parametrize("line", [line for line in examples() if line.startswith("quicksilver score ")])
def test_every_score_example_is_a_request_that_the_contract_accepts(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    class Api:
        def score(self, endpoint: str, request: dict[str, Any], **_: Any) -> ApiAnswer:
            asked.append(request)
            return ApiAnswer(503, {}, {})

    monkeypatch.setattr("quicksilver.cli.score.deployed_stage", lambda _: SimpleNamespace(api=Api()))
    CliRunner().invoke(app, shlex.split(line.removeprefix("quicksilver ")))
    request = ScoreRequest.model_validate(asked[0])
    check_names(build_contract(), request)
    build_vector(build_contract(), request, {}, FeatureReading({}), now_ms=0)


def test_every_event_that_a_page_names_exists() -> None:
    events = set(EVENT.findall(TEXT))
    assert events
    assert [event for event in events if not (ROOT / event).is_file()] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    assert f"quicksilver {name} " in TEXT or f"quicksilver {name}\n" in TEXT


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_an_example_of_itself(name: str) -> None:
    assert COMMANDS[name].help
    assert (COMMANDS[name].epilog or "").startswith(f"Example: quicksilver {name}")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_says_what_it_is_and_json_is_one_of_them(name: str) -> None:
    options = [option for option in COMMANDS[name].params if isinstance(option, TyperOption)]
    assert "--json" in {spelling for option in options for spelling in option.opts}
    assert [option.name for option in options if not option.help] == []


def test_every_metric_is_in_the_table_of_failures_unless_it_counts_successes() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    missing = [metric for metric in Metric if f"`{metric}`" not in page]
    assert missing == [Metric.REQUESTS_SCORED, *ARM_METRICS, Metric.SHADOWS_SCORED]


def test_every_cause_of_a_degraded_answer_is_explained_to_callers() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert [cause for cause in (*Cause, *ModelCause) if f"`{cause}`" not in page] == []


def test_every_decision_is_listed_and_has_context_decision_and_consequences() -> None:
    pages = sorted((ROOT / "docs" / "adr").glob("0*.md"))
    index = (ROOT / "docs" / "adr" / "README.md").read_text()
    assert [page.name for page in pages if f"({page.name})" not in index] == []
    for page in pages:
        assert HEADING.findall(page.read_text())[1:] == ["Context", "Decision", "Consequences"], page.name
