"""What a change does to the templates, in the words of ``cdk diff``, and as a comment that holds together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from delivery import difference
from delivery.difference import COMMENT_LIMIT, Change, NoDifference, between, main, page, stacks

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 5}}


def assembly(folder: Path, **templates: dict[str, Any]) -> Path:
    """A cloud assembly as ``cdk synth`` writes it, less the assets: they have no part in a comparison. Each stack needs the one
    before it."""
    folder.mkdir(parents=True)
    artifacts: dict[str, Any] = {}
    for name, resources in templates.items():
        (folder / f"{name}.template.json").write_text(json.dumps({"Resources": resources}))
        artifacts[f"quicksilver-dev-{name}"] = {
            "type": "aws:cloudformation:stack",
            "environment": "aws://unknown-account/unknown-region",
            "dependencies": list(artifacts)[-1:],
            "properties": {"templateFile": f"{name}.template.json", "stackName": f"quicksilver-dev-{name}"},
        }
    (folder / "manifest.json").write_text(json.dumps({"version": "48.0.0", "artifacts": artifacts}))
    return folder


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    base = assembly(
        tmp_path / "base" / "dev", data={"Inbox": QUEUE}, old={"Inbox": QUEUE}, still={"Inbox": QUEUE}
    )
    head = assembly(
        tmp_path / "head" / "dev",
        data={"Inbox": {**QUEUE, "Properties": {"DelaySeconds": 7}}},
        new={"Outbox": QUEUE},
        still={"Inbox": QUEUE},
    )
    return base, head


def test_each_stack_is_compared_with_its_own_and_no_aws_is_asked(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    found = {change.stack.removeprefix("quicksilver-dev-"): change.text for change in between(*both)}
    assert list(found) == ["data", "new", "old", "still"]
    assert "DelaySeconds" in found["data"]
    assert "[-] 5" in found["data"]
    assert "[+] 7" in found["data"]
    assert "[+] AWS::SQS::Queue Outbox" in found["new"]
    assert found["old"].startswith("The stack is no longer made.")
    assert found["still"] == ""


def test_the_page_names_what_changed_and_folds_how_away(
    both: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "templates.md"
    assert main([str(tmp_path / "base"), str(tmp_path / "head"), "--markdown", str(out)]) == 0
    text = out.read_text()
    assert text.startswith("### Templates, against the base\n\n- **dev**: data, new, old\n")
    assert text.count("<details>") == text.count("</details>") == 3
    assert capsys.readouterr().out == text + "\n"


def test_without_a_change_the_page_says_so(both: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "templates.md"
    main([str(tmp_path / "head"), str(tmp_path / "head"), "--markdown", str(out)])
    assert out.read_text() == "### Templates, against the base\n\n- **dev**: no change\n"


def test_a_stage_that_the_base_does_not_have_is_all_new(both: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "templates.md"
    assert main([str(tmp_path / "empty"), str(tmp_path / "head"), "--markdown", str(out)]) == 0
    assert "- **dev**: data, new, still" in out.read_text()


@pytest.mark.parametrize("what", ["nothing", "nonsense"])
def test_what_is_no_assembly_is_one_sentence_and_a_failure(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "head" / "dev").mkdir(parents=True)
    if what == "nonsense":
        (tmp_path / "head" / "dev" / "manifest.json").write_text("{")
    out = tmp_path / "templates.md"
    assert main([str(tmp_path / "head"), str(tmp_path / "head"), "--markdown", str(out)]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("difference: ")
    assert said.err.count("\n") == 1
    assert not out.exists()


def test_a_cdk_that_fails_is_a_failure_and_not_no_change(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "cdk"
    broken.write_text("#!/bin/sh\necho 'it broke' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(difference, "CDK", broken)
    with pytest.raises(NoDifference, match=r"^cdk diff failed on quicksilver-dev-data: it broke$"):
        between(*both)


def test_what_runs_is_asked_for_without_a_change_set(
    both: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    cdk = tmp_path / "cdk"
    cdk.write_text(f'#!/bin/sh\necho "$@" >> {asked}\necho "There were no differences"\n')
    cdk.chmod(0o755)
    monkeypatch.setattr(difference, "CDK", cdk)
    out = tmp_path / "templates.md"
    assert main([str(tmp_path / "head"), "--deployed", "dev", "--markdown", str(out)]) == 0
    assert out.read_text().startswith("### Templates, against what is deployed\n\n- **dev**: no change")
    lines = asked.read_text().splitlines()
    assert len(lines) == 3
    assert all("--method template" in line for line in lines)


def test_stacks_are_found_by_their_names(both: tuple[Path, Path]) -> None:
    assert sorted(stacks(both[0])) == ["quicksilver-dev-data", "quicksilver-dev-old", "quicksilver-dev-still"]


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=60)


@settings(deadline=None)
@given(
    texts=st.lists(st.lists(LINES, min_size=1, max_size=8).map("\n".join), max_size=5),
    times=st.sampled_from([1, 3_000]),
)
def test_no_template_breaks_out_of_its_fence_and_the_page_fits_a_comment(
    texts: list[str], times: int
) -> None:
    found = page(
        [
            (
                "dev",
                [Change(stack=f"s{number}", text=f"{text}\n" * times) for number, text in enumerate(texts)],
            )
        ],
        against="the base",
    )
    assert len(found) <= COMMENT_LIMIT + 200
    fence = ""
    open_folds = 0
    for line in found.split("\n"):
        if not fence and line.startswith("```"):
            fence = line.removesuffix("diff")
        elif fence and line == fence:
            fence = ""
        elif not fence:
            open_folds += line.startswith("<details>") - line.startswith("</details>")
            assert line.startswith(("#", "- **", "<", "**Cut here**")) or not line
    assert fence == ""
    assert open_folds == 0
