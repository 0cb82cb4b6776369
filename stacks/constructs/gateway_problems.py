"""What API Gateway itself refuses, in the words of our functions: problem details (RFC 9457).

Each response type has its own status and sentence, since a template cannot see the status it is sent with.
No internal message passes: the gateway's own texts name methods, keys and credentials.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from aws_cdk import aws_apigateway as apigateway

from quicksilver.problem import PROBLEM_JSON, RETRY_AFTER_SECONDS, problem

_PROBLEMS: tuple[tuple[str, HTTPStatus, str], ...] = (
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
    ("DEFAULT_4XX", HTTPStatus.BAD_REQUEST, "The request was refused."),
    ("DEFAULT_5XX", HTTPStatus.INTERNAL_SERVER_ERROR, "The request could not be answered."),
)
_WORTH_RETRYING = ("THROTTLED", "INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE")


def answer_with_problems(api: apigateway.RestApi) -> None:
    """Give every refusal of the gateway the form of a problem, with Retry-After where trying again may help."""
    for kind, status, detail in _PROBLEMS:
        # The template's key only says when it is used (for a request that asks for nothing else); what the
        # caller is told comes from the header.
        headers = {"Content-Type": f"'{PROBLEM_JSON}'", "Cache-Control": "'no-store'"}
        if kind in _WORTH_RETRYING:
            headers["Retry-After"] = f"'{RETRY_AFTER_SECONDS}'"
        api.add_gateway_response(
            "".join(word.capitalize() for word in kind.split("_")),
            type=apigateway.ResponseType.of(kind),
            status_code=str(int(status)),
            response_headers=headers,
            templates={
                "application/json": json.dumps(
                    problem(status, detail, instance="urn:request:$context.requestId")
                )
            },
        )
