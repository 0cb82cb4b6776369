"""A deployed stage as people reach it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from quicksilver.aws.deployed_stage import DeployedStage

if TYPE_CHECKING:
    import pytest
    from botocore.config import Config

LAMBDA_SECONDS = 15 * 60


def test_a_function_is_waited_for_as_long_as_it_may_run_and_invoked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Config] = []

    class Lambda:
        def invoke(self, **_: Any) -> dict[str, Any]:
            return {"Payload": io.BytesIO(b'{"card-fraud": "10 windows judged"}')}

    def client(_: DeployedStage, service: str, config: Config) -> Lambda:
        assert service == "lambda"
        asked.append(config)
        return Lambda()

    monkeypatch.setattr(DeployedStage, "client", client)
    assert DeployedStage("local").invoke("drift", {}) == {"card-fraud": "10 windows judged"}
    (config,) = asked
    assert config.read_timeout > LAMBDA_SECONDS  # type: ignore[attr-defined]
    assert config.retries == {"total_max_attempts": 1, "mode": "standard"}  # type: ignore[attr-defined]
