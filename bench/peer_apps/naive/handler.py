"""The naive function: what people import and make at the top of a scoring function's module.

Its cold start is what ``bench.coldstart`` compares with. The model comes from S3 at init, as Quicksilver's does.
"""

import os

import boto3
import lightgbm
import shap
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from pydantic import BaseModel

logger, metrics, tracer = Logger(), Metrics(), Tracer()
dynamodb, kinesis, s3 = (boto3.client(service) for service in ("dynamodb", "kinesis", "s3"))
text = s3.get_object(Bucket=os.environ["NAIVE_BUCKET"], Key=os.environ["NAIVE_KEY"])["Body"].read().decode()
booster = lightgbm.Booster(model_str=text)
explainer = shap.TreeExplainer(booster)


class ScoreRequest(BaseModel):
    entity_id: str
    keys: dict[str, str]
    features: dict[str, float | int | bool | str | None]


@logger.inject_lambda_context
@metrics.log_metrics
@tracer.capture_lambda_handler
def lambda_handler(event: dict, context: object) -> dict:
    ScoreRequest.model_validate_json(event["body"])
    metrics.add_metric(name="Requests", unit=MetricUnit.Count, value=1)
    return {"statusCode": 501, "body": "measured up to its first invocation only"}
