"""A stage on restored tables: everything turns to them, and nothing that the stack has made is touched."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from stacks.config import ConfigError, RestoredTables, load_stage
from tests.infrastructure.conftest import Synthesized, synthesize
from tests.infrastructure.lasting import lasting
from tests.infrastructure.test_functions import environment, functions

NAMES = {field.name: f"restored-{field.name}" for field in fields(RestoredTables)}


@pytest.fixture(scope="module")
def restored(layers_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    stage = load_stage("prod")
    # Answers are kept, so that somebody uses the table of idempotency keys.
    keeping = tuple(replace(endpoint, idempotency_hours=24) for endpoint in stage.endpoints)
    stage = replace(stage, endpoints=keeping, restored_tables=RestoredTables(**NAMES))
    return synthesize(stage, layers_root, tmp_path_factory.mktemp("restored"))


def test_every_table_of_a_stage_can_be_replaced(
    synthesized: Callable[[str], Synthesized],
) -> None:
    tables = synthesized("prod").of_type("AWS::DynamoDB::Table", "data")
    assert {id[:-8].lower() for id in tables} == set(NAMES)


def test_what_the_stack_has_made_is_not_touched(
    restored: Synthesized, synthesized: Callable[[str], Synthesized]
) -> None:
    before = synthesized("prod")
    assert lasting(restored) == lasting(before)
    assert restored.data["Resources"] == before.data["Resources"]


def test_every_function_is_told_the_restored_tables_and_may_use_them_alone(restored: Synthesized) -> None:
    told = {
        variable: value
        for function in functions(restored).values()
        for variable, value in environment(function).items()
        if variable.endswith("_TABLE")
    }
    assert told == {f"QUICKSILVER_{store.upper()}_TABLE": name for store, name in NAMES.items()}
    policies = json.dumps(list(restored.of_type("AWS::IAM::Policy").values()))
    assert all(f"table/{name}" in policies for name in NAMES.values())
    assert "ExportsOutputFnGetAttRegistry" not in policies


def test_outputs_name_the_restored_tables(restored: Synthesized) -> None:
    outputs = restored.data["Outputs"]
    assert outputs["RegistryTable"]["Value"] == "restored-registry"
    assert outputs["FeaturesTable"]["Value"] == "restored-features"


def test_nothing_that_another_stack_imports_is_taken_away_before_that_stack_is_deployed(
    restored: Synthesized, synthesized: Callable[[str], Synthesized]
) -> None:
    def exports(of: Synthesized) -> set[str]:
        return {json.dumps(item["Export"]) for item in of.data["Outputs"].values() if "Export" in item}

    before = synthesized("prod")
    assert exports(before) <= exports(restored)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ({"registry": "a b"}, "The restored table registry is named 'a b'"),
        ({"features": ""}, "The restored table features is named ''"),
        ({"features": "one", "registry": "one"}, "One restored table is named for two stores."),
    ],
)
def test_a_name_that_no_table_can_have_is_one_sentence(names: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        RestoredTables(**names)


def test_a_stage_file_names_restored_tables(tmp_path: Path) -> None:
    text = (Path("stacks/stages/dev.toml")).read_text()
    (tmp_path / "dev.toml").write_text(f'restored_tables = {{ registry = "registry-restored" }}\n{text}')
    assert load_stage("dev", tmp_path).restored_tables.registry == "registry-restored"
    (tmp_path / "dev.toml").write_text(f'restored_tables = {{ registrie = "registry-restored" }}\n{text}')
    with pytest.raises(ConfigError, match=r"dev.toml: restored_tables.registrie is no setting."):
        load_stage("dev", tmp_path)
