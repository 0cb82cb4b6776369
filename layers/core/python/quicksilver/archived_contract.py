"""Contracts in the archive: what the places of a vector mean, for whoever reads vectors in SQL.

A contract is kept once, under its fingerprint, when the first model version of it is registered.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from quicksilver.contract import Contract, EndpointName, FeatureName, FeatureType
from quicksilver.model_version import Sha256
from quicksilver.ports import ContractStore


class ContractRow(BaseModel):
    """One feature of a contract. ``position`` counts from 1, as SQL does; a category's code is its place in ``categories``
    less 1. ``package_sha256`` is a package that has the contract, of possibly many."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: Sha256
    endpoint: EndpointName
    position: Annotated[int, Field(ge=1)]
    feature: FeatureName
    type: FeatureType
    categories: tuple[str, ...]
    package_sha256: Sha256


def keep_contract(store: ContractStore, contract: Contract, package_sha256: str) -> None:
    """Keep a contract that a package has. Keeping one again changes nothing. Raises ``Unavailable``."""
    rows = (
        ContractRow(
            fingerprint=contract.fingerprint,
            endpoint=contract.endpoint,
            position=position,
            feature=feature.name,
            type=feature.type,
            categories=feature.categories,
            package_sha256=package_sha256,
        )
        for position, feature in enumerate(contract.features, 1)
    )
    store.keep(contract.fingerprint, b"".join(row.model_dump_json().encode() + b"\n" for row in rows))
