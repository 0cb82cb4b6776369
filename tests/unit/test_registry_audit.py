"""The audit: what holds is called so, and every kind of tampering is found and named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from quicksilver.history import GENESIS, Action, Entry, Head, chain_breaks
from quicksilver.memory import MemorySigner
from quicksilver.model_version import Approval, State
from quicksilver.package import MODEL
from quicksilver.registry_audit import Audit, audit, audit_end

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


def run(bench: Bench) -> Audit:
    return audit(
        "card-fraud",
        registry=bench.registry_store,
        artifacts=bench.artifacts,
        evidence=bench.artifacts,
        signer=bench.signer,
    )


def test_an_untouched_registry_holds_and_says_what_was_looked_at(
    bench: Bench, second_package: Package
) -> None:
    bench.put_champion(second_package)
    result = run(bench)
    assert result.holds, result.findings
    assert (result.entries, result.model_versions, result.routes, result.signatures) == (8, 2, 2, 2)


def alter_an_entry(bench: Bench, _: Package) -> None:
    entries = bench.registry_store._entries["card-fraud"]
    entries[1] = entries[1].model_copy(update={"who": "arn:aws:iam::000000000000:user/mallory"})


def remove_an_entry(bench: Bench, _: Package) -> None:
    del bench.registry_store._entries["card-fraud"][2]


def cut_the_history(bench: Bench, _: Package) -> None:
    del bench.registry_store._entries["card-fraud"][-1]


def alter_a_model(bench: Bench, package: Package) -> None:
    bench.artifacts.files[package.sha256, MODEL] = b"tree\n"


def alter_the_evidence(bench: Bench, _: Package) -> None:
    key = next(key for key in bench.artifacts.files if key[0] == "evidence")
    bench.artifacts.files[key] += b" "


def lose_the_evidence(bench: Bench, _: Package) -> None:
    del bench.artifacts.files[next(key for key in bench.artifacts.files if key[0] == "evidence")]


def forge_a_state(bench: Bench, _: Package) -> None:
    models = bench.registry_store._models["card-fraud"]
    models[1] = models[1].model_copy(update={"state": State.RETIRED})


def forge_a_signature(bench: Bench, _: Package) -> None:
    models = bench.registry_store._models["card-fraud"]
    approval = models[1].approval
    assert approval is not None
    forged = approval.signed(MemorySigner(b"other").sign(approval.digest))
    models[1] = models[1].model_copy(update={"approval": forged})


def approve_as_author(bench: Bench, _: Package) -> None:
    models = bench.registry_store._models["card-fraud"]
    approval = models[1].approval
    assert approval is not None
    own = Approval.model_validate(approval.model_dump() | {"approver": models[1].author})
    models[1] = models[1].model_copy(update={"approval": own.signed(bench.signer.sign(own.digest))})


def add_a_model(bench: Bench, _: Package) -> None:
    models = bench.registry_store._models["card-fraud"]
    models[2] = models[1].model_copy(update={"number": 2})


def alter_a_route(bench: Bench, _: Package) -> None:
    routes = bench.registry_store._routes["card-fraud"]
    routes[0] = routes[0].model_copy(update={"salt": "another"})


@pytest.mark.parametrize(
    ("tamper", "finding"),
    [
        (alter_an_entry, "entry 3 does not follow the entry before it"),
        (remove_an_entry, "entry 3 is missing"),
        (cut_the_history, "the registry's head names entry 4"),
        (alter_a_model, "The package is altered: model.txt"),
        (alter_the_evidence, "its evidence is altered"),
        (lose_the_evidence, "There is no evidence"),
        (forge_a_state, "card-fraud@1 is retired, and its history says approved"),
        (forge_a_signature, "its approval's signature does not verify"),
        (approve_as_author, "its author approved it"),
        (add_a_model, "card-fraud@2 is in the registry and not in the history"),
        (alter_a_route, "route 1 is not what the history says"),
    ],
)
def test_tampering_is_found_and_named(
    bench: Bench, package: Package, tamper: Callable[[Bench, Package], None], finding: str
) -> None:
    tamper(bench, package)
    assert [found for found in run(bench).findings if finding in found], run(bench).findings


def run_at_the_end(bench: Bench, last: int = 50) -> Audit:
    return audit_end(
        "card-fraud", last, registry=bench.registry_store, artifacts=bench.artifacts, signer=bench.signer
    )


def lose_the_head(bench: Bench, _: Package) -> None:
    del bench.registry_store._heads["card-fraud"]


def lose_the_model_version(bench: Bench, _: Package) -> None:
    del bench.registry_store._models["card-fraud"][1]


def lose_the_package(bench: Bench, package: Package) -> None:
    del bench.artifacts.files[package.sha256, MODEL]


def lose_the_route(bench: Bench, _: Package) -> None:
    bench.registry_store._routes["card-fraud"].clear()


@pytest.mark.parametrize("last", [2, 50])
def test_the_end_of_an_untouched_registry_holds_and_is_bounded(
    bench: Bench, second_package: Package, last: int
) -> None:
    bench.put_champion(second_package)
    result = run_at_the_end(bench, last)
    assert result.holds, result.findings
    assert (result.entries, result.model_versions, result.routes, result.signatures) == (
        min(last, 8),
        1,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("tamper", "finding"),
    [
        (alter_an_entry, "entry 3 does not follow the entry before it"),
        (remove_an_entry, "entry 3 is missing"),
        (cut_the_history, "the registry's head names entry 4"),
        (alter_a_model, "The package is altered: model.txt"),
        (lose_the_package, "model.txt"),
        (forge_a_state, "card-fraud@1 answers and is retired"),
        (forge_a_signature, "its approval's signature does not verify"),
        (lose_the_head, "the registry has a history and no head"),
        (lose_the_model_version, "card-fraud@1 is on the route and not in the registry"),
        (lose_the_route, "the current route is none, and the registry's head names 1"),
    ],
)
def test_what_is_wrong_at_the_end_is_found_and_named(
    bench: Bench, package: Package, tamper: Callable[[Bench, Package], None], finding: str
) -> None:
    tamper(bench, package)
    found = run_at_the_end(bench).findings
    assert [sentence for sentence in found if finding in sentence], found


def test_what_is_older_than_the_end_is_the_whole_audits(bench: Bench, package: Package) -> None:
    entries = bench.registry_store._entries["card-fraud"]
    entries[0] = entries[0].model_copy(update={"who": "arn:aws:iam::000000000000:user/mallory"})
    assert run_at_the_end(bench, last=2).holds
    assert not run(bench).holds


def chain(n: int) -> list[Entry]:
    entries: list[Entry] = []
    for number in range(1, n + 1):
        entries.append(
            Entry(
                endpoint="card-fraud",
                number=number,
                previous_sha256=entries[-1].sha256 if entries else GENESIS,
                action=Action.REGISTERED,
                subject=f"card-fraud@{number}",
                who="ada",
                at=f"2026-11-23T00:00:{number:02d}.000Z",
            )
        )
    return entries


def head_of(entries: list[Entry]) -> Head:
    head = Head(endpoint="card-fraud")
    for entry in entries:
        head = head.next(entry)
    return head


@given(st.integers(0, 20))
def test_a_chain_of_any_length_holds(n: int) -> None:
    assert chain_breaks(chain(n), head_of(chain(n))) == []


@given(st.data())
def test_whatever_one_entry_is_changed_into_the_chain_breaks(data: st.DataObject) -> None:
    entries = chain(8)
    index = data.draw(st.integers(0, 7))
    field = data.draw(st.sampled_from(["subject", "who", "reason"]))
    text = data.draw(st.text(min_size=1, max_size=5))
    changed = entries[index].model_copy(update={field: getattr(entries[index], field) + text})
    assert chain_breaks([*entries[:index], changed, *entries[index + 1 :]], head_of(entries))


@given(st.permutations(range(5)))
def test_entries_in_another_order_break_the_chain(order: list[int]) -> None:
    entries = chain(5)
    breaks = chain_breaks([entries[index] for index in order], head_of(entries))
    assert bool(breaks) == (order != [0, 1, 2, 3, 4])
