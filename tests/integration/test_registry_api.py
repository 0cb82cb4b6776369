"""The registry's API as it is deployed: who signs is who the function sees, and nobody else gets in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import urllib3

from quicksilver.aws.kms_signer import KmsSigner
from quicksilver.errors import NotAllowed, NotFound

if TYPE_CHECKING:
    from quicksilver.package import Package
    from tests.local_stack import LocalStack


def test_a_change_is_by_whoever_signed_the_request(local_stack: LocalStack, package: Package) -> None:
    local_stack.artifacts.put(package.sha256, package.files)
    ada = local_stack.as_("ada").registry
    model = ada.register("card-fraud", package.sha256)
    assert model.author == "arn:aws:iam::000000000000:user/ada"
    entries = [entry for entry in ada.history("card-fraud") if entry.subject == model.name]
    assert entries[0].who == local_stack.as_("ada").caller() == model.author


def test_two_people_are_two_identities(local_stack: LocalStack) -> None:
    assert local_stack.as_("ada").caller() == "arn:aws:iam::000000000000:user/ada"
    assert local_stack.as_("grace").caller() == "arn:aws:iam::000000000000:user/grace"


def test_the_author_cannot_approve_and_another_person_can(local_stack: LocalStack, package: Package) -> None:
    name = local_stack.approve(package)
    model = local_stack.as_("ada").registry.model_version(name)
    assert model.approval is not None
    assert model.approval.approver == local_stack.as_("grace").caller()
    with pytest.raises(NotAllowed):
        local_stack.as_("ada").registry.approve(name, reason="Once more.")


def test_an_approval_is_signed_by_the_stages_key(local_stack: LocalStack, package: Package) -> None:
    approval = local_stack.as_("ada").registry.model_version(local_stack.approve(package)).approval
    assert approval is not None
    signer = KmsSigner(local_stack.client("kms"), local_stack.outputs["SigningKey"])
    assert signer.verify(approval.digest, approval.signature_bytes)
    forged = approval.model_copy(update={"approver": local_stack.as_("ada").caller()})
    assert not signer.verify(
        type(forged).model_validate(forged.model_dump()).digest, approval.signature_bytes
    )


def test_a_request_that_nobody_signed_does_not_reach_the_function(local_stack: LocalStack) -> None:
    answer = urllib3.request("GET", f"{local_stack.registry_api_url}/v1/registry/card-fraud/models")
    assert answer.status == 403
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_an_endpoint_that_is_not_there_is_not_found(local_stack: LocalStack) -> None:
    registry = local_stack.as_("ada").registry
    with pytest.raises(NotFound, match="There is no endpoint no-such-endpoint"):
        registry.current_route("no-such-endpoint")
    with pytest.raises(NotFound, match="There is no endpoint no-such-endpoint"):
        list(registry.history("no-such-endpoint"))
