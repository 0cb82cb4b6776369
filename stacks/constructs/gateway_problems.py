"""What API Gateway itself refuses, in the words of our functions: problem details (RFC 9457)."""

from __future__ import annotations

import json

from aws_cdk import aws_apigateway as apigateway

from quicksilver.problem import PROBLEM_JSON, RETRY_AFTER_SECONDS, problem
from stacks.refusals import REFUSALS, WORTH_RETRYING


def answer_with_problems(api: apigateway.RestApi) -> None:
    """Give every refusal of the gateway the form of a problem, with Retry-After where trying again may help."""
    for kind, status, detail in REFUSALS:
        # The template's key only says when it is used (for a request that asks for nothing else); what the
        # caller is told comes from the header.
        headers = {"Content-Type": f"'{PROBLEM_JSON}'", "Cache-Control": "'no-store'"}
        if kind in WORTH_RETRYING:
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
