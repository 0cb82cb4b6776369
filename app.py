"""The CDK app: ``cdk synth -c stage=local|dev|staging|prod``, there ``-c side=standby`` for its second region; or ``-c delivery=<owner>/<repository>``, which is in no stage."""

from __future__ import annotations

import sys

from aws_cdk import App

from stacks.build import synthesize
from stacks.config import ConfigError

if __name__ == "__main__":
    try:
        synthesize(App())
    except ConfigError as error:
        sys.exit(f"quicksilver: {error}")
