"""The people of the local stage, on IAM as moto has it: made once, each with a key that works."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from quicksilver.aws.iam_users import IamUsers
from quicksilver.errors import NotFound, Unavailable
from quicksilver.local.emulator import Emulator
from quicksilver.local.people import People


@pytest.fixture
def iam(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        yield boto3.client("iam", region_name="us-east-1")


@pytest.fixture
def emulator(tmp_path: Path) -> Emulator:
    emulator = Emulator(tmp_path / "run", port=4600)
    emulator.temporary.mkdir(parents=True)
    return emulator


@pytest.fixture
def people(emulator: Emulator, iam: Any) -> People:
    return People(emulator, lambda: IamUsers(iam))


def keys_of(iam: Any, name: str) -> list[str]:
    return [key["AccessKeyId"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]


def test_each_person_reaches_the_emulator_with_a_key_of_their_own(
    people: People, emulator: Emulator, iam: Any
) -> None:
    people.ensure()
    ada, grace = people.environment_of("ada"), people.environment_of("grace")
    assert [ada["AWS_ACCESS_KEY_ID"]] == keys_of(iam, "ada")
    assert [grace["AWS_ACCESS_KEY_ID"]] == keys_of(iam, "grace")
    assert ada["AWS_SECRET_ACCESS_KEY"] != grace["AWS_SECRET_ACCESS_KEY"]
    own = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    shared = emulator.aws_environment
    assert {name: value for name, value in ada.items() if name not in own} == {
        name: value for name, value in shared.items() if name not in own
    }


def test_whoever_is_there_keeps_the_key(people: People) -> None:
    people.ensure()
    before = people.environment_of("ada")
    people.ensure()
    assert people.environment_of("ada") == before


def test_a_key_whose_secret_is_lost_is_replaced_and_does_not_pile_up(
    people: People, emulator: Emulator, iam: Any
) -> None:
    for _ in range(4):
        people.ensure()
        (emulator.temporary / "people.json").unlink()
    people.ensure()
    assert keys_of(iam, "ada") == [people.environment_of("ada")["AWS_ACCESS_KEY_ID"]]


def test_a_key_that_iam_does_not_know_is_replaced(people: People, iam: Any) -> None:
    people.ensure()
    forgotten = people.environment_of("ada")["AWS_ACCESS_KEY_ID"]
    iam.delete_access_key(UserName="ada", AccessKeyId=forgotten)
    people.ensure()
    assert keys_of(iam, "ada") == [people.environment_of("ada")["AWS_ACCESS_KEY_ID"]] != [forgotten]


def test_keys_are_for_their_owners_eyes_only_and_go_with_the_emulator(
    people: People, emulator: Emulator
) -> None:
    people.ensure()
    (file,) = emulator.temporary.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    emulator.stop()
    assert not file.exists()


def test_nobody_else_is_there(people: People) -> None:
    people.ensure()
    with pytest.raises(NotFound, match="nobody called eve") as refusal:
        people.environment_of("eve")
    assert refusal.value.__notes__ == ["There are ada (data scientist) and grace (approver)"]


def test_before_a_deployment_it_says_what_to_do(people: People) -> None:
    with pytest.raises(NotFound, match="nobody called ada") as refusal:
        people.environment_of("ada")
    assert refusal.value.__notes__ == ["Deploy to it first: quicksilver local up"]


def test_a_file_that_cannot_be_read_counts_as_none(people: People, emulator: Emulator) -> None:
    (emulator.temporary / "people.json").write_text('["ada"]')
    people.ensure()
    assert people.environment_of("ada")["AWS_ACCESS_KEY_ID"]


def test_an_iam_that_refuses_is_unavailable(emulator: Emulator) -> None:
    client = boto3.client(
        "iam", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stub:
        stub.add_client_error("create_user", "LimitExceeded")
        with pytest.raises(Unavailable, match="The IAM user ada cannot be made"):
            People(emulator, lambda: IamUsers(client)).ensure()
