"""What GitHub may do in one AWS account, as ``cdk deploy -c delivery=<owner>/<repository>`` says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from stacks.config.setting import ConfigError, Setting, require
from stacks.config.stage_files import STAGES, load_stage

CONTEXT = "delivery"
STAGES_CONTEXT = "delivery_stages"
MODELS_CONTEXT = "delivery_models"
PROVIDER_CONTEXT = "delivery_provider"

# With the numbers that GitHub puts into the subjects of repositories made or renamed since July 2026: names may change hands.
# https://docs.github.com/en/actions/reference/security/oidc
_OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?"
_NAME = r"(?!\.{1,2}(?:@|$))[A-Za-z0-9._-]{1,100}"
_REPOSITORY = re.compile(rf"{_OWNER}/{_NAME}|{_OWNER}@[1-9]\d*/{_NAME}@[1-9]\d*")
_PROVIDER = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:oidc-provider/token\.actions\.githubusercontent\.com")


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery(Setting):
    """The stages of one account, and the repositories whose workflows deliver to them.

    ``repository`` deploys code, ``models_repository`` releases models; both as GitHub names them in a token's subject,
    ``owner/name`` or ``owner@123/name@456``. ``provider_arn`` is the account's OIDC provider for GitHub where it has one:
    there can be only one. A stage that is deployed from commits only shares its account with no other stage, for in one
    account every deployment goes by the same bootstrap roles.
    """

    repository: str
    models_repository: str
    stages: tuple[str, ...]
    provider_arn: str | None = None

    def __post_init__(self) -> None:
        for context, repository in ((CONTEXT, self.repository), (MODELS_CONTEXT, self.models_repository)):
            require(
                _REPOSITORY.fullmatch(repository) is not None,
                f"-c {context}={repository} is no repository; write <owner>/<name>, or <owner>@<id>/<name>@<id> "
                "where GitHub's tokens have the numbers.",
            )
        known = [name for name in STAGES if not load_stage(name).emulated]
        require(
            bool(self.stages)
            and set(self.stages) <= set(known)
            and len(set(self.stages)) == len(self.stages),
            f"-c {STAGES_CONTEXT}={','.join(self.stages)} must name the stages of this account, each once, of {', '.join(known)}.",
        )
        alone = [name for name in self.stages if load_stage(name).from_clean_tree]
        require(
            not alone or len(self.stages) == 1,
            f"Stage {''.join(alone[:1])} can share its account with no other stage: whoever may deploy that one could deploy it too.",
        )
        require(
            self.provider_arn is None or _PROVIDER.fullmatch(self.provider_arn) is not None,
            f"-c {PROVIDER_CONTEXT}={self.provider_arn} is no ARN of an OIDC provider for token.actions.githubusercontent.com.",
        )


def load_delivery(context: Callable[[str], object]) -> Delivery | None:
    """What the context asks for, or ``None`` where it asks for no delivery. Raises ``ConfigError``."""

    def given(name: str) -> str | None:
        value = context(name)
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"-c {name} must be text, not {value!r}.")
        return value

    repository, stages = given(CONTEXT), given(STAGES_CONTEXT)
    if repository is None:
        return None
    require(
        context("stage") is None, f"Name a stage or -c {CONTEXT}, not both: what delivers is in no stage."
    )
    if not stages:
        raise ConfigError(f"Name the stages that this account holds: -c {STAGES_CONTEXT}=dev,staging.")
    return Delivery(
        repository=repository,
        models_repository=given(MODELS_CONTEXT) or repository,
        stages=tuple(stages.split(",")),
        provider_arn=given(PROVIDER_CONTEXT),
    )
