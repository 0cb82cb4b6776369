"""What differs from stage to stage, as frozen values: ``Stage``, its ``Endpoint``s, and what belongs to them.

Everything here is checked when the value is made, so a stack never sees an impossible number: a mistake is a ``ConfigError`` of one
sentence, before any template exists. The values of each stage are in ``stacks/stages``.
"""

from stacks.config.concurrency import Floor, ProvisionedConcurrency
from stacks.config.domain import Domain, HostedZone, Truststore
from stacks.config.endpoint import GATEWAY_TIMEOUT_SECONDS, ONE_VCPU_MIB, Endpoint
from stacks.config.firewall import Firewall
from stacks.config.objectives import Objectives
from stacks.config.recovery import RestoredTables
from stacks.config.release import Release, Shift
from stacks.config.reserved_concurrency import ReservedConcurrency
from stacks.config.second_region import SecondRegion, Side
from stacks.config.setting import ConfigError
from stacks.config.stage import Architecture, LogRetention, Stage
from stacks.config.stage_files import STAGES, load_stage
from stacks.config.throttle import Throttle
from stacks.config.training import BuiltInTraining, SageMakerTraining, WebhookTraining

__all__ = [
    "GATEWAY_TIMEOUT_SECONDS",
    "ONE_VCPU_MIB",
    "STAGES",
    "Architecture",
    "BuiltInTraining",
    "ConfigError",
    "Domain",
    "Endpoint",
    "Firewall",
    "Floor",
    "HostedZone",
    "LogRetention",
    "Objectives",
    "ProvisionedConcurrency",
    "Release",
    "ReservedConcurrency",
    "RestoredTables",
    "SageMakerTraining",
    "SecondRegion",
    "Shift",
    "Side",
    "Stage",
    "Throttle",
    "Truststore",
    "WebhookTraining",
    "load_stage",
]
