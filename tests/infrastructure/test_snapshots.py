"""Each stage against its snapshot of what must never change silently."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from stacks.config import STAGES
from tests.infrastructure.conftest import Synthesized
from tests.infrastructure.lasting import ACCEPT, HOW, SNAPSHOTS, changes, lasting, sentence


def test_a_stage_keeps_what_holds_data_and_the_names_that_others_know(every_stage: Synthesized) -> None:
    now = lasting(every_stage)
    file = SNAPSHOTS / f"{every_stage.stage.name}.json"
    if os.environ.get(ACCEPT):
        file.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
    found = list(changes(json.loads(file.read_text()), now))
    assert not found, sentence(every_stage.stage.name, found)


def test_every_stage_has_a_snapshot_and_every_snapshot_a_stage() -> None:
    assert {path.stem for path in SNAPSHOTS.glob("*.json")} == set(STAGES)


def prod() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((SNAPSHOTS / "prod.json").read_text())
    return content


def id_of(snapshot: dict[str, Any], name: str) -> str:
    (id,) = (id for id in snapshot["data"] if id[:-8] == name)
    return id


def rename_a_table(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Registry")
    snapshot["data"]["RegistryOther000"] = snapshot["data"].pop(id)
    return f"{id} was AWS::DynamoDB::Table and is nothing"


def let_a_table_go_with_its_stack(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Features")
    snapshot["data"][id]["deletion"] = "Delete"
    return f"data {id} deletion was Retain and is Delete"


def let_a_bucket_go_when_it_is_replaced(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Archive")
    del snapshot["data"][id]["replacement"]
    return f"data {id} replacement was Retain and is nothing"


def change_a_key_schema(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Rollup")
    snapshot["data"][id]["keys"] = "pk:HASH"
    return f"data {id} keys was pk:HASH sk:RANGE and is pk:HASH"


def encrypt_by_another_key(snapshot: dict[str, Any]) -> str:
    id, other = id_of(snapshot, "Registry"), id_of(snapshot, "PredictionsKey")
    key = snapshot["data"][id]["key"]
    snapshot["data"][id]["key"] = other
    return f"data {id} key was {key} and is {other}"


def let_registered_models_expire(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Registry")
    snapshot["data"][id]["expires"] = "at"
    return f"data {id} expires was nothing and is at"


def unlock_the_models(snapshot: dict[str, Any]) -> str:
    id = id_of(snapshot, "Models")
    del snapshot["data"][id]["lock"]
    return f"data {id} lock was True and is nothing"


def rename_a_function(snapshot: dict[str, Any]) -> str:
    snapshot["functions"].remove("quicksilver-prod-registry")
    return "functions no longer has quicksilver-prod-registry"


def drop_a_path(snapshot: dict[str, Any]) -> str:
    (methods,) = (methods for methods in snapshot["apis"].values() if "POST /v1/card-fraud/score" in methods)
    methods.remove("POST /v1/card-fraud/score")
    return "no longer has POST /v1/card-fraud/score"


def drop_an_output(snapshot: dict[str, Any]) -> str:
    snapshot["stacks"]["quicksilver-prod-data"].remove("RegistryTable")
    return "stacks quicksilver-prod-data no longer has RegistryTable"


@pytest.mark.parametrize(
    "change",
    [
        rename_a_table,
        let_a_table_go_with_its_stack,
        let_a_bucket_go_when_it_is_replaced,
        change_a_key_schema,
        encrypt_by_another_key,
        let_registered_models_expire,
        unlock_the_models,
        rename_a_function,
        drop_a_path,
        drop_an_output,
    ],
)
def test_a_change_is_one_sentence_that_says_what_and_how_to_mean_it(
    change: Callable[[dict[str, Any]], str],
) -> None:
    before = prod()
    after = copy.deepcopy(before)
    expected = change(after)
    said = sentence("prod", list(changes(before, after)))
    assert expected in said
    assert said.startswith("The stage prod changes what must never change silently: ")
    assert said.endswith(HOW)


def test_nothing_on_aws_that_holds_data_goes_with_its_stack() -> None:
    for stage in set(STAGES) - {"local"}:
        data = json.loads((SNAPSHOTS / f"{stage}.json").read_text())["data"]
        stores = {
            id: item
            for id, item in data.items()
            if item["type"].split("::")[1] in ("DynamoDB", "KMS", "Kinesis", "S3")
            and item["type"] != "AWS::KMS::Alias"
        }
        assert len(stores) >= 13
        assert {(item["deletion"], item["replacement"]) for item in stores.values()} == {("Retain", "Retain")}
