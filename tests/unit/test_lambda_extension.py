"""The extension's side of the Extensions API: registered where there is one, and never silently deaf."""

from __future__ import annotations

import pytest

from bench.loopback_http import Answer, LoopbackServer, Request
from bench.runtime_api import RuntimeApi
from quicksilver.aws.lambda_extension import LambdaExtension
from quicksilver.errors import Unavailable


def test_it_registers_under_its_name() -> None:
    with RuntimeApi() as api:
        LambdaExtension.register(api.address)
        assert api.extensions == ("quicksilver",)


def test_an_emulator_without_the_api_and_an_address_where_nobody_listens_are_unavailable() -> None:
    with RuntimeApi(extensions=False) as api, pytest.raises(Unavailable, match="404"):
        LambdaExtension.register(api.address)
    with pytest.raises(Unavailable, match="ConnectionRefusedError"):
        LambdaExtension.register("127.0.0.1:9")


def test_an_event_that_is_refused_is_unavailable() -> None:
    with RuntimeApi() as api:
        stranger = LambdaExtension(api.address, "unknown")
        stranger.ask()
        with pytest.raises(Unavailable, match="403"):
            stranger.receive()


def test_an_event_that_does_not_come_is_unavailable_and_not_waited_for_for_ever() -> None:
    with RuntimeApi() as api:
        extension = LambdaExtension.register(api.address)
        extension.ask()
        with pytest.raises(Unavailable, match="TimeoutError"):
            extension.receive()


def test_it_asks_again_over_a_new_connection_when_the_kept_one_was_closed() -> None:
    asked: list[str] = []

    def answer(request: Request) -> Answer:
        asked.append(request.path)
        return Answer(200, b"{}", {"Connection": "close"})

    server = LoopbackServer(answer)
    server.start()
    extension = LambdaExtension(server.address, "id")
    for _ in range(2):
        extension.ask()
        extension.receive()
    server.stop()
    assert asked == ["/2020-01-01/extension/event/next"] * 2
    with pytest.raises(Unavailable, match="cannot be asked"):
        extension.ask()
