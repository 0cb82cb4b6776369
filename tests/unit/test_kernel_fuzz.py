"""A short run of what ``make fuzz-kernel`` does at length: damaged model texts end in an answer or a refusal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from layers.native_kernel import CannotCompile
from tests.fuzz.corpus import texts
from tests.fuzz.mutations import mutated, with_right_sizes
from tests.fuzz.run import Findings, build_judge, fuzz, write_corpus

MUTATIONS = 2_000


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    try:
        return build_judge(tmp_path_factory.mktemp("judge") / "judge_model")
    except CannotCompile as reason:
        pytest.skip(f"this machine's compiler has no sanitizers: {str(reason).splitlines()[-1]}")


def test_damaged_texts_end_in_an_answer_or_a_refusal(corpus: Path) -> None:
    findings = fuzz(corpus, range(MUTATIONS), None)
    assert findings.broken == []
    assert findings.verdicts.total() == MUTATIONS
    # The damage reaches deep: LightGBM gets a good part to read, and the kernel explains it.
    assert findings.verdicts["accepted: explained by kernel"] > MUTATIONS / 5


def test_damaged_texts_do_no_harm_under_sanitizers(corpus: Path, judge: Path) -> None:
    assert fuzz(corpus, range(MUTATIONS, 2 * MUTATIONS), judge).broken == []


def test_each_allocation_may_fail(corpus: Path, judge: Path) -> None:
    run = subprocess.run([judge, *sorted(corpus.glob("*.txt"))], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("each may fail") == len(list(corpus.glob("*.txt")))


def test_a_worker_that_dies_or_raises_is_found_with_its_seed(corpus: Path, tmp_path: Path) -> None:
    """A judge that always ends at once stands for one that a text has crashed."""
    broken = tmp_path / "judge"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    findings = fuzz(corpus, range(3), broken, processes=1)
    assert [seed for seed, _ in findings.broken] == [0, 1, 2]
    assert all("sanitized crashed" in what for _, what in findings.broken)


def test_a_seed_is_a_text_for_ever() -> None:
    sound = list(texts().values())
    assert [mutated(seed, sound) for seed in range(50)] == [mutated(seed, sound) for seed in range(50)]


def test_each_family_of_sound_texts_has_trees_of_its_own() -> None:
    # But for cross entropy, which on whole outcomes is the binary objective by another name.
    sound = [text for name, text in texts().items() if name != "cross_entropy"]
    trees = [text.partition(b"\nTree=0\n")[2] for text in sound]
    assert len(set(trees)) == len(trees)


def test_sizes_made_right_of_a_sound_text_are_the_ones_it_had() -> None:
    for text in texts().values():
        assert with_right_sizes(text) == text


def test_an_outcome_that_is_no_refusal_counts_as_broken() -> None:
    findings = Findings()
    for verdict in (
        "refused",
        "accepted: differs",
        "raised ValueError: no",
        "accepted but sanitized refused",
    ):
        findings.add(1, verdict)
    assert len(findings.broken) == 3
