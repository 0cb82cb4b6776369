"""The training step of a retraining: from the set in a request's workspace to a candidate there.

A training that is done is not done again, and one that broke off gives the same bytes the next time. What cannot be learned
from is an answer too: it is written down with its reason, and whoever comes next need not ask again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from quicksilver.errors import InvalidData, NotFound
from quicksilver.package import Package, open_package
from quicksilver.ports import ArtifactStore, RegistryStore
from quicksilver.retraining.request import RetrainRequest
from quicksilver.retraining.train import TrainingResult, train_candidate
from quicksilver.retraining.training_set import read_training_set
from quicksilver.retraining.workspace import ObjectStore, WorkFile, Workspace
from quicksilver.tarball import tar_bytes

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """``threads`` is how many train at once: as many as the process has processors."""

    objects: ObjectStore
    registry: RegistryStore
    artifacts: ArtifactStore
    threads: int

    def train(self, request: RetrainRequest) -> TrainingResult:
        """What came of a request's training, done now or before.

        Raises ``NotFound`` where the set or the champion is not there, ``InvalidPackage`` for a champion whose bytes are
        not what they were, and ``Unavailable``.
        """
        workspace = Workspace(self.objects, request.endpoint, request.id)
        done = workspace.find(WorkFile.TRAINING)
        if done is not None:
            return TrainingResult.model_validate_json(done)
        data = workspace.get(WorkFile.SET)
        champion = self._champion(request)
        try:
            rows = read_training_set(data, champion.contract)
            del data
            candidate = train_candidate(rows, champion, request, threads=self.threads)
        except InvalidData as refused:
            result = TrainingResult(
                request_id=request.id,
                endpoint=request.endpoint,
                champion=request.champion,
                refused=_sentence(refused),
            )
        else:
            result = candidate.result
            workspace.put(WorkFile.EVALUATION, candidate.evaluation)
            workspace.put(WorkFile.PACKAGE, tar_bytes(candidate.package.files))
        # Last: whoever finds it finds the others.
        workspace.put(WorkFile.TRAINING, result.model_dump_json(indent=2).encode() + b"\n")
        logger.info(
            "training has ended",
            extra={"request": request.id, "refused": result.refused, "rows": result.rows},
        )
        return result

    def _champion(self, request: RetrainRequest) -> Package:
        endpoint, _, number = request.champion.rpartition("@")
        model = self.registry.model_version(endpoint, int(number))
        if model is None or endpoint != request.endpoint:
            raise NotFound(f"{request.endpoint} has no model version {request.champion}.")
        sha256 = model.package_sha256
        return open_package(lambda name: self.artifacts.get(sha256, name), sha256)


def _sentence(refused: InvalidData) -> str:
    reasons = "; ".join(str(field) for field in refused.fields[:10])
    return f"{refused} {reasons}." if reasons else str(refused)
