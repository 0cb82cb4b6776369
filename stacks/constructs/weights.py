"""No alias may have provisioned concurrency: CodeDeploy gives ``live`` weights, and Lambda refuses both on one alias.

"Configuring provisioned concurrency", AWS Lambda Developer Guide: an alias with routing to two versions takes none.
"""

from __future__ import annotations

from aws_cdk import App, aws_applicationautoscaling as scaling, aws_lambda as lambda_

from stacks.config import ConfigError


def refuse_provisioned_aliases(app: App) -> None:
    """Raise ``ConfigError`` for an alias of the app with provisioned concurrency of its own, or scaled from outside."""
    constructs = app.node.find_all()
    scaled = [
        str(child.resource_id)
        for child in constructs
        if isinstance(child, scaling.CfnScalableTarget) and child.service_namespace == "lambda"
    ]
    for alias in (child for child in constructs if isinstance(child, lambda_.CfnAlias)):
        if alias.provisioned_concurrency_config is not None or any(
            target.endswith(f":{alias.name}") for target in scaled
        ):
            raise ConfigError(
                f"The alias {alias.name} ({alias.node.path}) has provisioned concurrency; code canaries give it weights, and "
                "Lambda refuses both on one alias: put it on the function version."
            )
