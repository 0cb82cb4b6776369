"""What the machine hands a function: which request, and which execution works on it. Never the request itself.

An event can be made by whoever may put events on the bus. What is done is what the request's document says, which only the
monitoring writes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from quicksilver.contract import EndpointName, contract_field_errors
from quicksilver.errors import InvalidInput, QuicksilverError, whereabouts
from quicksilver.monitoring import MonitoringStore
from quicksilver.retraining.request import RequestId, RetrainRequest
from quicksilver.retraining.trigger import Requests

logger = logging.getLogger(__name__)


class Step(BaseModel):
    """The input of every function of the machine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    endpoint: EndpointName
    request_id: RequestId
    execution: str

    @classmethod
    def of(cls, event: object) -> Self:
        """Raises ``InvalidInput`` naming each field and its reason."""
        try:
            return cls.model_validate(event)
        except ValidationError as error:
            raise InvalidInput("The machine's input is no request.", contract_field_errors(error)) from None

    def request(self, store: MonitoringStore) -> RetrainRequest:
        """The request's document. Raises ``NotFound`` and ``Unavailable``."""
        return Requests(self.endpoint, store).get(self.request_id)


@contextmanager
def said_to_the_machine() -> Iterator[None]:
    """What a step raises is the cause that the execution ends with: one sentence, with the fields it names.

    An error nobody foresaw says only what it is, as its own words may quote what it choked on.
    """
    try:
        yield
    except InvalidInput as error:
        fields = "; ".join(str(field) for field in error.fields[:10])
        raise type(error)(f"{error} {fields}." if fields else str(error), error.fields) from None
    except QuicksilverError:
        raise
    except Exception as error:
        logger.error("a step of a retraining has failed", extra=whereabouts(error))
        raise QuicksilverError(f"An error nobody foresaw: {type(error).__name__}.") from None
