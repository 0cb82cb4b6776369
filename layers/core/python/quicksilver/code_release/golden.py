"""The golden rows of a route's arms, put to a function version.

They are read and verified here, of model versions that may have their role: a function version is no judge of itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from quicksilver.code_release.check import GoldenCheck, packed
from quicksilver.code_release.conversation import Conversation, Live
from quicksilver.code_release.judgement import judge_alike, judge_golden
from quicksilver.errors import ModelNotLoadable, ReleaseRefused
from quicksilver.model_loader import approved, registered
from quicksilver.package import GOLDEN, GoldenRow, Package, open_package
from quicksilver.ports import ArtifactStore, Deadline, RegistryStore, Signer
from quicksilver.routing import Arm, Role, Route

ROWS_A_CALL = 100
VALUES_A_CALL = 20_000
"""Of a call's golden rows: well below the 6 MB that Lambda takes, and the function's own timeout."""


class GoldenRows:
    """Puts golden rows of registered packages to function versions."""

    def __init__(self, registry: RegistryStore, artifacts: ArtifactStore, signer: Signer) -> None:
        self._artifacts = artifacts
        self._answering, self._shadow = approved(registry, signer), registered(registry)

    def put_to(
        self, new: Conversation, route: Route, arm: Arm, give_up: Deadline, live: Live | None = None
    ) -> str:
        """Hold ``new`` to an arm's golden rows, and to ``live``; returns what was compared, in a sentence.

        Raises ``ReleaseRefused`` for the first difference.
        """
        package = self._package(arm)
        names, alike = package.contract.names, 0
        for rows in _chunks(package.golden_rows, len(names)):
            in_time(give_up)
            check = GoldenCheck(
                route=route.number, arm=arm, vectors=tuple(packed(row.vector) for _, row in rows)
            )
            answer = new.ask(check).golden
            if answer is None:
                raise ReleaseRefused(f"Function version {new.version} gives no golden row of {arm.model}.")
            given = judge_golden(arm.model, names, rows, answer)
            theirs = live.golden(check) if live else None
            if live and theirs:
                places = [place for place, _ in rows]
                alike += judge_alike(arm.model, names, places, given, theirs, live_version=live.version)
        said = f"{arm.model} ({arm.role.value}): {len(package.golden_rows)} golden rows are given bit for bit"
        return (
            f"{said}, {alike} of them compared with function version {live.version}." if live else f"{said}."
        )

    def _package(self, arm: Arm) -> Package:
        permit = self._shadow if arm.role is Role.SHADOW else self._answering
        try:
            permit(arm)
        except ModelNotLoadable as error:
            raise ReleaseRefused(str(error)) from None
        return open_package(
            lambda name: self._artifacts.get(arm.package_sha256, name), arm.package_sha256, only=[GOLDEN]
        )


def in_time(give_up: Deadline) -> None:
    """Raises ``ReleaseRefused`` where there is no time left: CodeDeploy must be told before the hook's own end."""
    if give_up.remaining_seconds() <= 0:
        raise ReleaseRefused("The checks are not done in the time that a hook has.")


def _chunks(rows: Sequence[GoldenRow], features: int) -> Iterator[list[tuple[int, GoldenRow]]]:
    """Golden rows with their numbers, as many as go into a call."""
    size = max(1, min(ROWS_A_CALL, VALUES_A_CALL // max(1, features)))
    numbered = list(enumerate(rows, 1))
    return (numbered[start : start + size] for start in range(0, len(numbered), size))
