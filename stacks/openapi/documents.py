"""The documents by the names of their files, and the files as committed: what callers have been told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from stacks.openapi.document import Document
from stacks.openapi.registry_document import registry_document
from stacks.openapi.scoring_document import scoring_document

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "schemas"

DOCUMENTS: Mapping[str, Callable[[], Document]] = {
    "openapi-scoring.json": scoring_document,
    "openapi-registry.json": registry_document,
}


def as_text(document: Document) -> str:
    """A document as its file has it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
