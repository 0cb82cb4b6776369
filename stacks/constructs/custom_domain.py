"""An API's own name: TLS 1.2, the clients of a truststore alone where there is one, and a record that leads to it.

The API is the whole of its name, without a base path: Lambda would get the path with it, and find nothing there.
"""

from __future__ import annotations

from aws_cdk import (
    CfnOutput,
    aws_apigateway as apigateway,
    aws_certificatemanager as acm,
    aws_route53 as route53,
    aws_route53_targets as targets,
    aws_s3 as s3,
)
from constructs import Construct

from stacks.config import Domain, Truststore


class CustomDomain(Construct):
    """``output`` names the stack's output that says what the name must lead to."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        domain: Domain,
        api: apigateway.RestApi,
        stack: Construct,
        output: str,
    ) -> None:
        super().__init__(scope, id)
        name = apigateway.DomainName(
            self,
            "Name",
            domain_name=domain.name,
            certificate=acm.Certificate.from_certificate_arn(self, "Certificate", domain.certificate_arn),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
            mtls=self._clients(domain.truststore) if domain.truststore else None,
            mapping=api,
        )
        self.record: route53.ARecord | None = None
        if zone := domain.hosted_zone:
            self.record = route53.ARecord(
                self,
                "Record",
                zone=route53.HostedZone.from_hosted_zone_attributes(
                    self, "Zone", hosted_zone_id=zone.id, zone_name=zone.name
                ),
                record_name=f"{domain.name}.",
                target=route53.RecordTarget.from_alias(targets.ApiGatewayDomain(name)),
            )
        CfnOutput(stack, output, value=name.domain_name_alias_domain_name)

    def _clients(self, truststore: Truststore) -> apigateway.MTLSConfig:
        return apigateway.MTLSConfig(
            bucket=s3.Bucket.from_bucket_name(self, "Truststore", truststore.bucket),
            key=truststore.key,
            version=truststore.version,
        )
