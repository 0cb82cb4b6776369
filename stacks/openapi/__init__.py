"""The documents of both APIs (OpenAPI 3.1), made of the models, operations and refusals that the stage is made of.

    python -m stacks.openapi

writes them to ``docs/schemas``. ``python -m stacks.openapi.compare`` tells what of an earlier one a caller could not rely on
any more.
"""
