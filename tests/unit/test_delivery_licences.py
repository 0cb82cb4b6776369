"""Licences: read from what packages say of themselves, and held to the lists that a person has agreed to."""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from delivery.audit import WORKED_WITH, licences, main
from delivery.licences import POLICY, Policy, UnknownLicence, allowed, installed, licence_of, refusals, spdx
from delivery.locks import ROOT, npm_pins, pins, python_locks
from delivery.sbom import bill

OURS = Policy.from_toml(POLICY.read_text())


def package(folder: Path, *lines: str) -> Distribution:
    info = folder / "thing-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", "Name: Thing", "Version: 1.0", *lines, "", ""])
    )
    return PathDistribution(info)


def test_every_package_that_ships_or_that_we_work_with_may_be_used() -> None:
    assert licences() == []


def test_a_licence_that_nobody_agreed_to_is_a_sentence_and_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given lists that agree to MIT alone
    text = POLICY.read_text()
    policy = tmp_path / "licences.toml"
    policy.write_text('ships = ["MIT"]\ntools = []\n' + text[text.index("# What packages write") :])
    monkeypatch.setattr("delivery.audit.POLICY", policy)
    # When the audit runs, then what is under another one is named
    assert main(["licences"]) == 1
    said = capsys.readouterr().out
    assert "numpy" in said
    assert "which delivery/licences.toml does not allow there." in said
    assert "pydantic " not in said


def test_every_licence_that_is_allowed_is_one_that_something_has() -> None:
    """A licence nobody needs is one nobody has thought about lately."""
    emulator = next((ROOT / ".local" / "emulator").glob("lib/python*/site-packages"))
    layers = (ROOT / "layers" / ".build" / "arm64").glob("*/python")
    said = [licence_of(item, OURS) for item in installed([*map(Path, sys.path), emulator, *layers]).values()]
    said += [pin.licence or "" for pin in npm_pins(ROOT / "package-lock.json")]
    said += [str(getattr(licence, "value", "")) for item in bill().components for licence in item.licenses]
    assert [name for name in sorted(OURS.tools) if not any(name in expression for expression in said)] == []


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: MIT OR Apache-2.0", "License: whatever"], "MIT OR Apache-2.0"),
        (["Classifier: License :: OSI Approved :: MIT License", "License: GPL-3.0-only"], "MIT"),
        (
            [
                "Classifier: License :: OSI Approved :: MIT License",
                "Classifier: License :: OSI Approved :: Apache Software License",
            ],
            "Apache-2.0 AND MIT",
        ),
        (["Classifier: License :: OSI Approved", "License: Apache License 2.0"], "Apache-2.0"),
        (["License: BSD-3-Clause"], "BSD-3-Clause"),
    ],
)
def test_what_a_package_says_last_counts_least(lines: list[str], licence: str, tmp_path: Path) -> None:
    assert licence_of(package(tmp_path, *lines), OURS) == licence


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["License: Copyright (c) 2015 by somebody. Redistribution is permitted."],
        ["License: UNKNOWN"],
        ["Classifier: License :: Other/Proprietary License"],
        ["Classifier: License :: OSI Approved :: A Licence Of Its Own"],
    ],
)
def test_a_licence_that_cannot_be_read_is_said_and_not_guessed(lines: list[str], tmp_path: Path) -> None:
    with pytest.raises(
        UnknownLicence, match=r"^thing 1\.0 does not say its licence in a way that can be read\.$"
    ):
        licence_of(package(tmp_path, *lines), OURS)


@pytest.mark.parametrize(
    ("expression", "may"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("MIT AND (GPL-3.0-only OR ISC)", True),
        ("Apache-2.0 WITH LLVM-exception", False),
        ("LicenseRef-BSD", True),
        ("LicenseRef-Other", False),
    ],
)
def test_or_needs_one_side_and_and_needs_all(expression: str, may: bool) -> None:
    assert allowed(expression, frozenset({"MIT", "ISC", "Apache-2.0", "LicenseRef-BSD"})) is may


NAMES = st.sampled_from(["MIT", "ISC", "Apache-2.0", "GPL-3.0-only", "MPL-2.0"])
EXPRESSIONS = st.recursive(
    NAMES,
    lambda inner: st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
        lambda three: f"({' '.join(three)})"
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(expression=EXPRESSIONS, some=st.sets(NAMES), more=st.sets(NAMES))
def test_agreeing_to_more_never_refuses_what_was_agreed_to(
    expression: str, some: set[str], more: set[str]
) -> None:
    if allowed(expression, frozenset(some)):
        assert allowed(expression, frozenset(some | more))
    assert allowed(expression, frozenset({"MIT", "ISC", "Apache-2.0", "GPL-3.0-only", "MPL-2.0"}))
    assert not allowed(expression, frozenset())


@settings(deadline=None)
@given(expression=EXPRESSIONS)
def test_an_expression_in_full_is_itself(expression: str) -> None:
    full = spdx(expression, OURS)
    assert full is not None
    assert spdx(full, OURS) == full


def test_a_refusal_names_the_package_and_its_licence() -> None:
    (sentence,) = refusals({"thing 1.0": "GPL-3.0-only", "other 2.0": "MIT"}, frozenset({"MIT"}))
    assert sentence == "thing 1.0 is under GPL-3.0-only, which delivery/licences.toml does not allow there."


def test_every_lock_is_audited_for_licences_or_is_known_not_to_be() -> None:
    names = {lock.relative_to(ROOT).as_posix() for lock in python_locks()}
    audited = {f"requirements/{name}.txt" for name in WORKED_WITH} | {
        f"layers/{layer}/requirements.txt" for layer in ("runtime", "lightgbm", "analysis")
    }
    others = {name for name in names if name.startswith("requirements/peers/")} | {"requirements/zig.txt"}
    assert names == audited | others


def test_the_locks_parse_to_what_they_pin() -> None:
    (uv,) = pins(ROOT / "requirements" / "bootstrap.txt")
    assert (uv.name, uv.applies()) == ("uv", True)
    assert len(uv.sha256) > 1
    text = (ROOT / "requirements" / "dev.txt").read_text()
    found = pins(ROOT / "requirements" / "dev.txt")
    assert sum(len(pin.sha256) for pin in found) == text.count("--hash=sha256:")
    assert {
        pin.version for pin in found if pin.name == "numpy" and pin.applies({"python_full_version": "3.13.0"})
    } != {
        pin.version for pin in found if pin.name == "numpy" and pin.applies({"python_full_version": "3.11.0"})
    }


@pytest.mark.parametrize(
    "line", ["thing==1.0", "thing>=1 --hash=sha256:" + "0" * 64, "thing --hash=sha256:" + "0" * 64]
)
def test_a_line_that_pins_nothing_is_refused(line: str, tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(line + "\n")
    with pytest.raises(ValueError, match="does not pin thing to one version with its hashes"):
        pins(lock)
