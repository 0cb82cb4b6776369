"""What of an earlier document a caller can't rely on any more.

    python -m stacks.openapi.compare origin/main

compares the documents as they are generated now with the files of a git revision, or of a folder, and fails with one sentence
for each thing that breaks a caller: a request that was accepted and is refused, an answer that is not what was promised.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stacks.config import ConfigError
from stacks.openapi.document import Document
from stacks.openapi.documents import COMMITTED, DOCUMENTS
from stacks.openapi.narrowing import Narrowing

ROOT = COMMITTED.parents[1]
_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def breaking_changes(old: Document, new: Document) -> list[str]:
    """One sentence for each; none where every caller of the old one is served by the new one as it was."""
    return list(_Comparison(old, new).sentences())


class _Comparison:
    def __init__(self, old: Document, new: Document) -> None:
        self._old, self._new = old, new
        self._requests = Narrowing(wide_document=new, narrow_document=old, wide_is_new=True)
        self._answers = Narrowing(wide_document=old, narrow_document=new, wide_is_new=False)

    def sentences(self) -> Iterator[str]:
        for path, item in self._old.get("paths", {}).items():
            now = self._new.get("paths", {}).get(path)
            if now is None:
                yield f"{path} is gone."
                continue
            for method in _METHODS:
                if method in item and method not in now:
                    yield f"{method.upper()} {path} is gone."
                elif method in item:
                    for found in self._of_operation(item[method], now[method]):
                        yield f"{method.upper()} {path}: {found}."

    def _of_operation(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        yield from self._of_security(old, new)
        yield from self._of_parameters(old, new)
        yield from self._of_body(old.get("requestBody"), new.get("requestBody"))
        yield from self._of_responses(old["responses"], new["responses"])

    def _of_security(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        known = _schemes(old, self._old)
        if known and not any(option <= other for option in _schemes(new, self._new) for other in known):
            yield "it needs credentials that it did not need"

    def _of_parameters(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        before, now = _parameters(old), _parameters(new)
        for key, parameter in before.items():
            if key not in now:
                yield f"{key} is gone"
                continue
            if now[key].get("required") and not parameter.get("required"):
                yield f"{key} is required"
            for place, reason in self._requests.refusals(now[key]["schema"], parameter["schema"]):
                yield f"{_placed(key, place)}: {reason}"
        for key in sorted(now.keys() - before.keys()):
            if now[key].get("required"):
                yield f"{key} is new and required"

    def _of_body(self, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> Iterator[str]:
        if new is None:
            if old is not None:
                yield "it takes no body any more"
            return
        if new.get("required") and not (old or {}).get("required"):
            yield "it needs a body"
        if old is None:
            return
        most, still = old.get("x-max-bytes"), new.get("x-max-bytes")
        if still is not None and (most is None or still < most):
            yield f"the body may have {still} bytes, no longer {'any number' if most is None else most}"
        for kind, content in old["content"].items():
            if kind not in new["content"]:
                yield f"the body is not accepted as {kind} any more"
                continue
            schemas = new["content"][kind]["schema"], content["schema"]
            for place, reason in self._requests.refusals(*schemas):
                yield f"{_placed('the body', place)}: {reason}"

    def _of_responses(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
        for status, response in old.items():
            if status not in new:
                yield f"the status {status} is gone"
                continue
            was, now = _opened(response, self._old), _opened(new[status], self._new)
            answer = f"the answer {status}"
            for name, header in was.get("headers", {}).items():
                yield from self._of_header(f"{answer}'s {name}", header, now.get("headers", {}).get(name))
            for kind, content in was.get("content", {}).items():
                if kind not in now.get("content", {}):
                    yield f"{answer} is no {kind} any more"
                    continue
                schemas = content["schema"], now["content"][kind]["schema"]
                for place, reason in self._answers.refusals(*schemas):
                    yield f"{_placed(answer, place)}: {reason}"

    def _of_header(self, name: str, old: Mapping[str, Any], new: Mapping[str, Any] | None) -> Iterator[str]:
        if new is None:
            yield f"{name} is gone"
            return
        if old.get("required") and not new.get("required"):
            yield f"{name} is not always there any more"
        for _, reason in self._answers.refusals(old["schema"], new["schema"]):
            yield f"{name}: {reason}"


def _parameters(operation: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {f"the {each['in']} parameter {each['name']}": each for each in operation.get("parameters", ())}


def _schemes(operation: Mapping[str, Any], document: Document) -> list[set[str]]:
    """The ways to show who one is, each the names of what all must be shown."""
    return [set(option) for option in operation.get("security", document.get("security", ()))]


def _opened(content: Mapping[str, Any], document: Document) -> Mapping[str, Any]:
    """A response that is named by a reference."""
    if "$ref" not in content:
        return content
    found: Any = document
    for part in content["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return dict(found)


def _placed(what: str, place: str) -> str:
    return f"{what}, {place}" if place else what


def earlier(base: str, name: str, root: Path = ROOT) -> Document | None:
    """A document as it is in a folder or at a git revision; None where it was not there yet. Raises ``ConfigError``."""
    if Path(base).is_dir():
        path = Path(base) / name
        return json.loads(path.read_text()) if path.exists() else None
    if _git(root, "rev-parse", "--verify", "--quiet", f"{base}^{{commit}}") is None:
        raise ConfigError(f"{base} is neither a folder nor a revision that git knows here; fetch it first.")
    text = _git(root, "show", f"{base}:docs/schemas/{name}")
    return None if text is None else json.loads(text)


def _git(root: Path, *words: str) -> str | None:

    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout if done.returncode == 0 else None


def main() -> None:
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(
            "Name what to compare with, a git revision or a folder: make openapi-breaking BASE=origin/main"
        )
    found: list[str] = []
    try:
        for name, document in DOCUMENTS.items():
            old = earlier(sys.argv[1], name)
            if old is None:
                print(f"{name}: {sys.argv[1]} has none to compare with.")
            else:
                found += breaking_changes(old, document())
    except ConfigError as error:
        sys.exit(str(error))
    if found:
        sys.exit("\n".join([*found, "Callers rely on this: offer what is new beside it, or under /v2."]))


if __name__ == "__main__":
    main()
