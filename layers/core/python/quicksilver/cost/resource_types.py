"""Every type of resource in our templates, priced or declared free: a new one cannot be forgotten."""

from __future__ import annotations

from quicksilver.cost.assembly import Assembly
from quicksilver.errors import FieldError, InvalidInput

PRICED = {
    "AWS::ApiGateway::Stage": "its requests, and the series of its methods",
    "AWS::ApplicationAutoScaling::ScalableTarget": "the provisioned concurrency that it holds",
    "AWS::Athena::WorkGroup": "bytes scanned, where functions judge by it",
    "AWS::CloudWatch::Alarm": "each metric that it reads",
    "AWS::CloudWatch::CompositeAlarm": "each",
    "AWS::CloudWatch::Dashboard": "each",
    "AWS::DynamoDB::GlobalTable": "units read; what is written to those of ours is not of decisions",
    "AWS::DynamoDB::Table": "units read and written, and what is kept",
    "AWS::Events::Rule": "what a schedule runs; a rule itself is free",
    "AWS::KMS::Key": "each",
    "AWS::KMS::ReplicaKey": "each",
    "AWS::Kinesis::Stream": "its hours, bytes in and out, and days kept",
    "AWS::KinesisFirehose::DeliveryStream": "bytes in, conversion and parting",
    "AWS::Lambda::EventSourceMapping": "the batches that it hands over",
    "AWS::Lambda::Function": "requests and duration",
    "AWS::Lambda::Version": "its provisioned concurrency",
    "AWS::Logs::LogGroup": "bytes in and kept",
    "AWS::Route53::HealthCheck": "each, and its options",
    "AWS::S3::Bucket": "objects written and bytes kept",
    "AWS::Scheduler::Schedule": "what it runs; 14 million a month are free",
    "AWS::StepFunctions::StateMachine": "steps",
    "AWS::WAFv2::WebACL": "itself, its rules, and requests",
}

FREE = {
    "AWS::ApiGateway::Account": "a setting",
    "AWS::ApiGateway::ApiKey": "a part of the API",
    "AWS::ApiGateway::BasePathMapping": "a part of the API",
    "AWS::ApiGateway::Deployment": "a part of the API",
    "AWS::ApiGateway::DomainName": "a part of the API",
    "AWS::ApiGateway::GatewayResponse": "a part of the API",
    "AWS::ApiGateway::Method": "a part of the API; its requests are the stage's",
    "AWS::ApiGateway::Model": "a part of the API",
    "AWS::ApiGateway::RequestValidator": "a part of the API",
    "AWS::ApiGateway::Resource": "a part of the API",
    "AWS::ApiGateway::RestApi": "paid by request",
    "AWS::ApiGateway::UsagePlan": "a part of the API",
    "AWS::ApiGateway::UsagePlanKey": "a part of the API",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "its alarms are of Application Auto Scaling's making",
    "AWS::CertificateManager::Certificate": "a public certificate used with AWS's own services",
    "AWS::CloudFormation::CustomResource": "runs a few times a deployment",
    "AWS::CodeDeploy::Application": "CodeDeploy is free for Lambda",
    "AWS::CodeDeploy::DeploymentConfig": "CodeDeploy is free for Lambda",
    "AWS::CodeDeploy::DeploymentGroup": "CodeDeploy is free for Lambda",
    "AWS::Events::EventBus": "paid by custom event, at $1 per million, of which there are tens a day",
    "AWS::Glue::Database": "the first million objects of the catalog are free",
    "AWS::Glue::Table": "the first million objects of the catalog are free",
    "AWS::IAM::ManagedPolicy": "IAM is free",
    "AWS::IAM::OIDCProvider": "IAM is free",
    "AWS::IAM::Policy": "IAM is free",
    "AWS::IAM::Role": "IAM is free",
    "AWS::KMS::Alias": "the key is paid for",
    "AWS::Lambda::Alias": "the function version is paid for",
    "AWS::Lambda::EventInvokeConfig": "a setting",
    "AWS::Lambda::LayerVersion": "well below the 75 GB that are free",
    "AWS::Lambda::Permission": "a policy",
    "AWS::Logs::LogStream": "a part of the log group",
    "AWS::Logs::MetricFilter": "its series are custom metrics",
    "AWS::Logs::ResourcePolicy": "a policy",
    "AWS::Route53::RecordSet": "queries for aliases of AWS resources are free",
    "AWS::S3::BucketPolicy": "a policy",
    "AWS::SNS::Subscription": "a setting",
    "AWS::SNS::Topic": "paid by message, at $0.50 per million, of which there are tens a day",
    "AWS::SNS::TopicPolicy": "a policy",
    "AWS::SQS::Queue": "paid by message, at $0.40 per million; messages are batches that failed for good",
    "AWS::SQS::QueuePolicy": "a policy",
    "AWS::SSM::Parameter": "a standard parameter",
    "AWS::WAFv2::LoggingConfiguration": "a setting; its lines are the log group's",
    "AWS::WAFv2::WebACLAssociation": "a part of the web ACL",
}


def require_known_types(assembly: Assembly) -> None:
    """Raises ``InvalidInput`` naming each type of resource that is neither priced nor declared free."""
    unknown = sorted({resource.type for resource in assembly.resources} - PRICED.keys() - FREE.keys())
    if unknown:
        raise InvalidInput(
            f"Stage {assembly.stage} has resources of which nobody has said what they cost.",
            [
                FieldError(kind, "is neither priced nor declared free in cost/resource_types.py")
                for kind in unknown
            ],
        )
