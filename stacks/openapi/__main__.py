"""Write both documents to ``docs/schemas``; ``make openapi`` runs this."""

from __future__ import annotations

from stacks.openapi.documents import COMMITTED, DOCUMENTS, as_text


def main() -> None:
    for name, document in DOCUMENTS.items():
        (COMMITTED / name).write_text(as_text(document()))


if __name__ == "__main__":
    main()
