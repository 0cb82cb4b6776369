"""The registry's rules: numbers given once, same bytes same model version, routes by compare-and-set."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from quicksilver.errors import Conflict, InvalidPackage, InvalidRoute, NotFound
from quicksilver.package import GOLDEN, MANIFEST, open_package, seal
from quicksilver.routing import Arm, Role

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.unit.conftest import Bench


def test_registering_the_same_bytes_twice_gives_the_same_model_version(
    bench: Bench, package: Package
) -> None:
    again = bench.registry.register(package, endpoint="card-fraud", author="grace")
    assert (again.name, again.author) == ("card-fraud@1", "ada")


def test_numbers_rise_by_one(bench: Bench, second_package: Package) -> None:
    assert bench.registry.register(second_package, endpoint="card-fraud", author="ada").number == 2


def test_a_package_of_another_endpoint_is_refused(bench: Bench, package: Package) -> None:
    with pytest.raises(InvalidPackage, match="not for credit-line"):
        bench.registry.register(package, endpoint="credit-line", author="ada")


def test_a_package_that_does_not_give_its_golden_rows_leaves_nothing_behind(
    bench: Bench, package: Package
) -> None:
    rows = [dataclasses.replace(row, raw_score=0.0) for row in package.golden_rows]
    files = {name: data for name, data in package.files.items() if name != MANIFEST}
    files[GOLDEN] = "".join(row.to_json() + "\n" for row in rows).encode()
    wrong = open_package(seal("card-fraud", package.contract.fingerprint, files).__getitem__)
    with pytest.raises(InvalidPackage):
        bench.registry.register(wrong, endpoint="card-fraud", author="ada")
    assert len(bench.registry.model_versions("card-fraud")) == 1
    assert not any(sha == wrong.sha256 for sha, _ in bench.artifacts.files)


def test_a_writer_that_loses_the_race_for_a_number_takes_the_next(
    bench: Bench, second_package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = bench.registry_store
    real, stale = store.latest_model_number, iter([0, 0])
    monkeypatch.setattr(store, "latest_model_number", lambda endpoint: next(stale, None) or real(endpoint))
    assert bench.registry.register(second_package, endpoint="card-fraud", author="ada").number == 2


def test_a_route_numbers_on_and_keeps_its_salt(bench: Bench, second_package: Package) -> None:
    first = bench.registry.current_route("card-fraud")
    bench.put_champion(second_package)
    second = bench.registry.current_route("card-fraud")
    assert (first.number, second.number, second.salt) == (1, 2, first.salt)
    assert [route.number for route in bench.registry.routes("card-fraud")] == [1, 2]


def test_a_route_to_a_model_version_that_is_not_registered_is_refused(bench: Bench) -> None:
    with pytest.raises(NotFound, match="card-fraud@9"):
        bench.registry.set_champion("card-fraud@9", author="ada")


@pytest.mark.parametrize("name", ["card-fraud", "@1", "card-fraud@", "card-fraud@x", "card-fraud@01", ""])
def test_a_name_that_is_no_model_version_is_not_found(bench: Bench, name: str) -> None:
    with pytest.raises(NotFound):
        bench.registry.model_version(name)


def test_a_route_whose_digest_is_not_the_registered_one_is_refused(bench: Bench) -> None:
    arm = Arm(model="card-fraud@1", package_sha256="f" * 64, role=Role.CHAMPION, share_bp=10_000)
    with pytest.raises(InvalidRoute, match="do not make a route"):
        bench.registry.set_route("card-fraud", [arm], author="ada")
    assert bench.registry.current_route("card-fraud").number == 1


def test_a_writer_that_read_an_old_route_gets_a_conflict(bench: Bench) -> None:
    stale = bench.registry.current_route("card-fraud")
    bench.registry.set_champion("card-fraud@1", author="ada")
    with pytest.raises(Conflict):
        bench.registry_store.add_route(stale.model_copy(update={"number": stale.number + 1}))
