"""Vulnerabilities that are lived with: each for a reason, for a while, and only while something has it."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings, strategies as st

from delivery import audit
from delivery.acceptance import FILE, Accepted, NotReadable, findings, read
from delivery.vulnerabilities import Vulnerability

TODAY = date(2026, 11, 26)
KNOWN = Vulnerability(package="thing", version="1.0", id="PYSEC-2026-1")
AGREED = Accepted(id="PYSEC-2026-1", package="thing", reason="It is never called.", until=TODAY)


def test_the_file_of_the_checkout_can_be_read() -> None:
    assert read(FILE.read_text()) == ()


def test_its_example_is_one() -> None:
    example = "\n".join(line.removeprefix("# ") for line in FILE.read_text().splitlines()[3:])
    (accepted,) = read(example)
    assert accepted.until == date(2027, 1, 31)


def test_what_is_accepted_is_no_finding_until_the_day_is_over() -> None:
    assert list(findings([KNOWN], [AGREED], TODAY)) == []
    assert list(findings([KNOWN], [AGREED], TODAY + timedelta(days=1))) == [
        "thing 1.0 has PYSEC-2026-1, not fixed yet. It was accepted until 2026-11-26."
    ]


def test_what_is_accepted_for_one_package_is_a_finding_on_another() -> None:
    other = Vulnerability(package="other", version="1.0", id="PYSEC-2026-1")
    assert list(findings([KNOWN, other], [AGREED], TODAY)) == [str(other)]


def test_an_acceptance_of_nothing_is_a_finding() -> None:
    assert list(findings([], [AGREED], TODAY)) == [
        "PYSEC-2026-1 is accepted and no version of thing has it; take it out of accepted.toml."
    ]


@settings(deadline=None)
@given(
    found=st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from(["V-1", "V-2"])), max_size=6),
    agreed=st.sets(st.tuples(st.sampled_from("abc"), st.sampled_from(["V-1", "V-2"])), max_size=6),
)
def test_there_is_silence_only_where_all_that_is_known_is_what_is_accepted(
    found: set[tuple[str, str]], agreed: set[tuple[str, str]]
) -> None:
    known = [Vulnerability(package=package, version="1", id=id) for package, id in found]
    accepted = [
        Accepted(id=id, package=package, reason="It is never called.", until=TODAY) for package, id in agreed
    ]
    assert len(list(findings(known, accepted, TODAY))) == len(found ^ agreed)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[[accepted", "accepted.toml is no TOML"),
        (
            '[[accepted]]\nid = "V"\npackage = "p"\nuntil = 2027-01-31',
            "accepted.toml: accepted.0.reason: field required",
        ),
        (
            '[[accepted]]\nid = "V"\npackage = "p"\nreason = "no"\nuntil = 2027-01-31',
            "accepted.toml: accepted.0.reason: string should",
        ),
        (
            '[[accepted]]\nid = "V"\npackage = "p"\nreason = "It is never called."',
            "accepted.toml: accepted.0.until: field required",
        ),
        ("[[ignored]]\nid = 1", "accepted.toml: ignored: extra inputs"),
    ],
)
def test_what_the_file_may_not_say_is_one_sentence_and_no_pass(
    text: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotReadable) as refused:
        read(text)
    assert str(refused.value).startswith(sentence)
    monkeypatch.setattr(audit, "read", lambda _: read(text))
    assert audit.main(["vulnerabilities"]) == 2
    assert capsys.readouterr().err.startswith(f"audit: {sentence}")
