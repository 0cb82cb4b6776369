"""Log lines in Powertools' JSON shape."""

from __future__ import annotations

import logging

from aws_lambda_powertools import Logger


def configure_logging() -> None:
    """Give the package's records, made with the standard library, Powertools' JSON shape."""
    powertools = Logger()
    package = logging.getLogger("quicksilver")
    package.handlers = [powertools.registered_handler]
    package.setLevel(powertools.log_level)
    package.propagate = False
