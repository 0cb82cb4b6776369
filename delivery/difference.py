"""What a change does to each stage's templates, as Markdown for a pull request, in the words of ``cdk diff``.

Against another cloud assembly it needs no AWS, so that it works for a fork's pull request too; against what is deployed it needs
credentials that may read the stacks' templates.

    python -m delivery.difference build/base/synth build/head/synth --markdown difference.md
    python -m delivery.difference build/head/synth --deployed dev --markdown difference.md
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from delivery.locks import ROOT

COMMENT_LIMIT = 60_000
"""GitHub takes 65,536 characters in a comment; what is longer is cut, and says so."""

CDK = ROOT / "node_modules" / ".bin" / "cdk"

_NOTHING = "There were no differences"
_COUNT = re.compile(r"^✨.*$", re.MULTILINE)
_ASSET = re.compile(r"\b[0-9a-f]{64}\b")


class NoDifference(Exception):
    """The two cannot be compared; the message is one sentence."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """What ``cdk diff`` says of one stack; nothing where it is unchanged."""

    stack: str
    text: str


def between(base: Path, head: Path) -> list[Change]:
    """Every stack of either of two assemblies of a stage, by name. Raises ``NoDifference``."""
    # A stage that the base does not have is all new.
    before, after = stacks(base) if base.exists() else {}, stacks(head)
    with tempfile.TemporaryDirectory() as folder:
        nothing = Path(folder, "nothing.template.json")
        nothing.write_text("{}", encoding="utf-8")
        return [
            _of_stack(head, name, "--template", str(before.get(name, nothing)))
            if name in after
            else Change(
                stack=name,
                text="The stack is no longer made. What is deployed of it stays until somebody deletes it.",
            )
            for name in sorted(before.keys() | after.keys())
        ]


def to_deployed(head: Path) -> list[Change]:
    """Every stack of an assembly against the one that runs. No change set is made, as that would write."""
    return [_of_stack(head, name, "--method", "template") for name in sorted(stacks(head))]


def stacks(assembly: Path) -> dict[str, Path]:
    """The template files of an assembly by the names of their stacks."""
    try:
        artifacts = json.loads((assembly / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    except (OSError, ValueError, KeyError):
        raise NoDifference(f"{assembly} is no cloud assembly; make one with: make synth") from None
    return {
        item.get("properties", {}).get("stackName", name): assembly / item["properties"]["templateFile"]
        for name, item in artifacts.items()
        if item["type"] == "aws:cloudformation:stack"
    }


def _of_stack(assembly: Path, stack: str, *against: str) -> Change:
    run = subprocess.run(
        [str(CDK), "diff", "--ci", "--no-color", "--exclusively", "--app", str(assembly), *against, stack],
        cwd=ROOT,
        env=os.environ | {"AWS_EC2_METADATA_DISABLED": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        said = (run.stderr or run.stdout).strip().splitlines()
        raise NoDifference(f"cdk diff failed on {stack}: {said[-1] if said else 'it said nothing'}")
    text = _COUNT.sub("", run.stdout).strip().removeprefix(f"Stack {stack}").strip()
    return Change(stack=stack, text="" if _NOTHING in text else text)


def stages(folder: Path) -> list[str]:
    """The stages that a folder holds an assembly of."""
    return sorted(path.parent.name for path in folder.glob("*/manifest.json"))


def page(found: Sequence[tuple[str, Sequence[Change]]], *, against: str) -> str:
    """Markdown: a line for each stage, and what changed folded away. ``found`` is changes by stage."""
    lines = [f"### Templates, against {against}", ""]
    for stage, changes in found:
        changed = [change for change in changes if change.text]
        names = ", ".join(change.stack.removeprefix(f"quicksilver-{stage}-") for change in changed)
        lines.append(f"- **{stage}**: {names or 'no change'}")
    lines.append("")
    for _, changes in found:
        for change in changes:
            if change.text:
                lines += [*_folded(change), ""]
    return _cut("\n".join(lines))


def _folded(change: Change) -> Iterator[str]:
    # A fence longer than any in the text, so that no template breaks out of it.
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", change.text)), default=0))
    yield f"<details><summary>{change.stack}</summary>"
    yield ""
    yield f"{fence}diff"
    yield _ASSET.sub(lambda digest: f"{digest[0][:12]}...", _as_diff(change.text))
    yield fence
    yield ""
    yield "</details>"


def _as_diff(text: str) -> str:
    """CDK's marks where a diff's are coloured: at the beginning of the line."""
    return re.sub(
        r"^(.*?)\[([-+~])\]",
        lambda mark: f"{mark[2].replace('~', '!')} {mark[1]}[{mark[2]}]",
        text,
        flags=re.MULTILINE,
    )


def _cut(text: str) -> str:
    if len(text) <= COMMENT_LIMIT:
        return text
    kept = text[:COMMENT_LIMIT].rpartition("\n")[0]
    fence = re.findall(r"^`{3,}", kept, re.MULTILINE)
    closing = f"{fence[-1]}\n</details>\n" if len(fence) % 2 else ""
    return f"{kept}\n{closing}\n**Cut here**: the whole is in the artifact of this run.\n"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="delivery.difference", description=__doc__)
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="BASE HEAD, or HEAD with --deployed"
    )
    parser.add_argument(
        "--deployed", action="append", default=[], metavar="STAGE", help="compare with what runs; repeat it"
    )
    parser.add_argument("--markdown", type=Path, required=True, metavar="FILE")
    given = parser.parse_args(arguments)
    if len(given.folders) != (1 if given.deployed else 2):
        parser.error("give two folders, or one with --deployed")
    try:
        if given.deployed:
            (head,) = given.folders
            text = page(
                [(stage, to_deployed(head / stage)) for stage in given.deployed], against="what is deployed"
            )
        else:
            base, head = given.folders
            if not stages(head):
                raise NoDifference(f"{head} holds no cloud assembly of a stage; make them with: make synth")
            found = [(stage, between(base / stage, head / stage)) for stage in stages(head)]
            text = page(found, against="the base")
    except NoDifference as error:
        print(f"difference: {error}", file=sys.stderr)
        return 1
    given.markdown.parent.mkdir(parents=True, exist_ok=True)
    given.markdown.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
