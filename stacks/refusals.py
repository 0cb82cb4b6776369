"""What API Gateway itself refuses, and in which words: a table that templates and the API's document are made from.

Each type has its own status and sentence, since a template cannot see the status it is sent with. No internal message passes:
the gateway's own texts name methods, keys and credentials.
"""

from __future__ import annotations

from http import HTTPStatus

REFUSALS: tuple[tuple[str, HTTPStatus, str], ...] = (
    ("ACCESS_DENIED", HTTPStatus.FORBIDDEN, "The caller may not make this request."),
    ("BAD_REQUEST_BODY", HTTPStatus.BAD_REQUEST, "The body is not what is accepted here."),
    ("BAD_REQUEST_PARAMETERS", HTTPStatus.BAD_REQUEST, "A parameter is missing or not accepted."),
    ("EXPIRED_TOKEN", HTTPStatus.FORBIDDEN, "The credentials that signed the request have expired."),
    ("INTEGRATION_FAILURE", HTTPStatus.GATEWAY_TIMEOUT, "The function could not be reached; try again."),
    ("INTEGRATION_TIMEOUT", HTTPStatus.GATEWAY_TIMEOUT, "The function did not answer in time; try again."),
    ("INVALID_API_KEY", HTTPStatus.FORBIDDEN, "The API key is missing or not valid here."),
    ("INVALID_SIGNATURE", HTTPStatus.FORBIDDEN, "The request's signature does not match the request."),
    # Also what the gateway answers for a path or a method it does not have.
    (
        "MISSING_AUTHENTICATION_TOKEN",
        HTTPStatus.FORBIDDEN,
        "The request is not signed, or there is nothing at this path.",
    ),
    ("QUOTA_EXCEEDED", HTTPStatus.TOO_MANY_REQUESTS, "The API key's quota is used up."),
    ("REQUEST_TOO_LARGE", HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large."),
    ("RESOURCE_NOT_FOUND", HTTPStatus.NOT_FOUND, "There is nothing at this path."),
    ("THROTTLED", HTTPStatus.TOO_MANY_REQUESTS, "Too many requests; try again."),
    ("UNAUTHORIZED", HTTPStatus.UNAUTHORIZED, "The caller is not known."),
    ("UNSUPPORTED_MEDIA_TYPE", HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body must be application/json."),
    ("WAF_FILTERED", HTTPStatus.FORBIDDEN, "The firewall does not let this request through."),
    ("DEFAULT_4XX", HTTPStatus.BAD_REQUEST, "The request was refused."),
    ("DEFAULT_5XX", HTTPStatus.INTERNAL_SERVER_ERROR, "The request could not be answered."),
)
"""Each type of refusal, its status and what the caller is told."""

WORTH_RETRYING = ("THROTTLED", "INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE")
