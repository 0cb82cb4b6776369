"""The training step: once, again, broken off, refused."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import quicksilver.retraining.training_run as training_run
from quicksilver.errors import InvalidPackage, NotFound, Unavailable
from quicksilver.memory import MemoryObjectStore
from quicksilver.package import open_package
from quicksilver.retraining.train import TrainingResult
from quicksilver.retraining.workspace import WorkFile, Workspace
from quicksilver.tarball import read_archive
from tests.retraining import request_for, set_file
from tests.trainings import ROWS, run_of, world

if TYPE_CHECKING:
    from quicksilver.package import Package
    from quicksilver.retraining.request import RetrainRequest


class BreakingStore(MemoryObjectStore):
    """Refuses to keep a file that a test names."""

    def __init__(self) -> None:
        super().__init__()
        self.refuses = ""

    def put(self, key: str, data: bytes) -> None:
        if self.refuses and key.endswith(self.refuses):
            raise Unavailable("The object store is unavailable.")
        super().put(key, data)


@pytest.fixture
def objects(request_: RetrainRequest) -> BreakingStore:
    objects = BreakingStore()
    Workspace(objects, request_.endpoint, request_.id).put(WorkFile.SET, set_file(*world()))
    return objects


@pytest.fixture
def request_(package: Package) -> RetrainRequest:
    return request_for(package.contract)


def workspace(objects: MemoryObjectStore, request: RetrainRequest) -> Workspace:
    return Workspace(objects, request.endpoint, request.id)


def test_it_leaves_a_package_the_rows_to_judge_it_on_and_what_came_of_it(
    package: Package, objects: BreakingStore, request_: RetrainRequest
) -> None:
    result = run_of(package, objects).train(request_)
    left = workspace(objects, request_)
    files = read_archive(io.BytesIO(left.get(WorkFile.PACKAGE)))
    assert open_package(files.__getitem__).sha256 == result.package_sha256
    assert left.get(WorkFile.EVALUATION).startswith(b"PAR1")
    assert TrainingResult.model_validate_json(left.get(WorkFile.TRAINING)) == result
    assert len(left.get(WorkFile.TRAINING)) < 4_000


def test_a_training_that_is_done_is_not_done_again(
    package: Package, objects: BreakingStore, request_: RetrainRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(package, objects)
    first = run.train(request_)
    monkeypatch.setattr(training_run, "train_candidate", lambda *_, **__: pytest.fail("it trained again"))
    assert run.train(request_) == first


@pytest.mark.parametrize("broken", [WorkFile.EVALUATION, WorkFile.PACKAGE, WorkFile.TRAINING])
def test_wherever_it_breaks_off_the_next_attempt_leaves_the_same_bytes(
    package: Package, objects: BreakingStore, request_: RetrainRequest, broken: WorkFile
) -> None:
    whole = BreakingStore()
    whole.objects = dict(objects.objects)
    run_of(package, whole).train(request_)
    objects.refuses = broken.value
    with pytest.raises(Unavailable):
        run_of(package, objects).train(request_)
    assert workspace(objects, request_).find(WorkFile.TRAINING) is None
    objects.refuses = ""
    run_of(package, objects).train(request_)
    assert objects.objects == whole.objects


def test_what_nothing_can_be_learned_from_is_written_down_with_its_reason_and_is_no_error(
    package: Package, objects: BreakingStore, request_: RetrainRequest
) -> None:
    vectors, _ = world()
    left = workspace(objects, request_)
    left.put(WorkFile.SET, set_file(vectors, np.zeros(ROWS)))
    result = run_of(package, objects).train(request_)
    assert result.refused == (
        "The training set cannot be learned from."
        " label: has 0 bad outcomes among the 2,800 rows learned from, and 10 are the least."
    )
    assert json.loads(left.get(WorkFile.TRAINING))["refused"] == result.refused
    assert left.find(WorkFile.PACKAGE) is None
    assert run_of(package, objects).train(request_) == result


def test_without_a_set_or_a_champion_it_is_not_done(
    package: Package, objects: BreakingStore, request_: RetrainRequest
) -> None:
    run = run_of(package, objects)
    with pytest.raises(NotFound, match=r"has no model version card-fraud@2"):
        run.train(request_.model_copy(update={"champion": "card-fraud@2"}))
    with pytest.raises(NotFound, match=r"has no model version credit-line@1"):
        run.train(request_.model_copy(update={"champion": "credit-line@1"}))
    with pytest.raises(NotFound, match=r"card-fraud-000002 of card-fraud has no set\.parquet"):
        run.train(request_.model_copy(update={"id": "card-fraud-000002"}))


def test_a_champion_whose_bytes_have_changed_trains_nothing(
    package: Package, objects: BreakingStore, request_: RetrainRequest
) -> None:
    run = run_of(package, objects)
    files = run.artifacts.files  # type: ignore[attr-defined]
    files[package.sha256, "model.txt"] = package.model_text + b" "
    with pytest.raises(InvalidPackage, match=r"altered: model\.txt"):
        run.train(request_)
    assert workspace(objects, request_).find(WorkFile.TRAINING) is None


def test_a_store_that_does_not_answer_is_said_to_be_unavailable(
    package: Package, objects: BreakingStore, request_: RetrainRequest
) -> None:
    objects.available = False
    with pytest.raises(Unavailable):
        run_of(package, objects).train(request_)
