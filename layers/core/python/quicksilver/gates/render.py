"""A gate report for people and for CI: Markdown and JUnit XML. Same report, same text.

JUnit has no warning: a check that warns is a test that passed, with its sentence in ``system-out``.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from quicksilver.gates.report import Check, Gate, GateReport, Outcome

_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_MARK = {Outcome.PASS: "pass", Outcome.WARN: "**warn**", Outcome.FAIL: "**FAIL**"}


def number(value: float | None) -> str:
    """A value as tables show it: counts whole, the rest with four significant places."""
    if value is None:
        return ""
    if float(value).is_integer() and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.4f}" if 1e-3 <= abs(value) < 1e4 else f"{value:,.4g}"


def interval(check: Check) -> str:
    if check.low is None or check.high is None:
        return ""
    return f"{number(check.low)} to {number(check.high)}"


def subject(check: Check) -> str:
    """What a check is about: its name, and the group where it has one."""
    return check.name if check.group is None else f"{check.name} ({check.attribute}: {check.group})"


def headline(report: GateReport) -> str:
    """The outcome in one sentence."""
    counts = {outcome: sum(check.outcome is outcome for check in report.checks) for outcome in Outcome}
    return (
        f"{report.outcome.value.upper()}: {counts[Outcome.PASS]} checks pass, {counts[Outcome.WARN]} warn, "
        f"{counts[Outcome.FAIL]} fail."
    )


def to_markdown(report: GateReport) -> str:
    """The whole report: what was judged, what needs attention, then every check by gate."""
    facts = {
        "endpoint": report.endpoint,
        "package": f"`{report.package_sha256}`",
        "contract": f"`{report.fingerprint}`",
        "champion": f"{report.champion} `{report.champion_sha256}`" if report.champion else "none",
        "evaluation data": f"`{report.data_sha256}`, {report.rows:,} rows",
        "policy": f"version {report.policy_version} `{report.policy_sha256}`",
        "run at": report.created_at,
    }
    lines = [f"# Gates of {report.endpoint}: {report.outcome.value}", "", headline(report), ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in facts.items()), ""]
    for outcome, title in ((Outcome.FAIL, "What fails"), (Outcome.WARN, "What warns")):
        found = [check for check in report.checks if check.outcome is outcome]
        if found:
            lines += [f"## {title}", "", *(f"- `{_cell(subject(c))}` {_cell(c.sentence)}" for c in found), ""]
    for gate in Gate:
        checks = report.of_gate(gate)
        if checks:
            lines += [f"## {gate.value.capitalize()}", "", *_table(checks), ""]
    return "\n".join(lines)


def to_junit(report: GateReport) -> str:
    """JUnit XML as CI systems read it: one suite per gate, one case per check."""
    root = ElementTree.Element(
        "testsuites",
        name=f"gates of {report.endpoint}",
        tests=str(len(report.checks)),
        failures=str(_failures(report.checks)),
        errors="0",
    )
    for gate in Gate:
        checks = report.of_gate(gate)
        if not checks:
            continue
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=gate.value,
            tests=str(len(checks)),
            failures=str(_failures(checks)),
            errors="0",
            skipped="0",
            timestamp=report.created_at.removesuffix("Z"),
        )
        properties = ElementTree.SubElement(suite, "properties")
        for name in ("package_sha256", "data_sha256", "policy_sha256", "champion_sha256"):
            value = getattr(report, name)
            if value is not None:
                ElementTree.SubElement(properties, "property", name=name, value=value)
        for check in checks:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{report.endpoint}.{gate.value}", name=_xml(subject(check))
            )
            if check.outcome is Outcome.FAIL:
                failure = ElementTree.SubElement(case, "failure", message=_xml(check.sentence))
                failure.text = _xml(_numbers(check))
            elif check.outcome is Outcome.WARN:
                ElementTree.SubElement(case, "system-out").text = _xml(f"warning: {check.sentence}")
    ElementTree.indent(root)
    # Bytes first: for text the declaration would name the encoding of the machine's locale.
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _table(checks: tuple[Check, ...]) -> list[str]:
    rows = [
        "| check | outcome | value | interval | limit | champion | rows | |",
        "|---|---|---:|---:|---:|---:|---:|---|",
    ]
    for check in checks:
        cells = (
            subject(check), _MARK[check.outcome], number(check.value), interval(check), number(check.limit),
            number(check.champion), number(check.rows), check.sentence,
        )  # fmt: skip
        rows.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return rows


def _numbers(check: Check) -> str:
    parts = {
        "value": number(check.value),
        "interval": interval(check),
        "limit": number(check.limit),
        "champion": number(check.champion),
        "rows": number(check.rows),
    }
    return ", ".join(f"{name} {text}" for name, text in parts.items() if text)


def _failures(checks: tuple[Check, ...]) -> int:
    return sum(check.outcome is Outcome.FAIL for check in checks)


def _cell(text: str) -> str:
    """Text that cannot end its cell: group names are data, and may hold anything."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _xml(text: str) -> str:
    """Text without the characters that XML 1.0 has no way to write (section 2.2, production 2)."""
    return _NOT_IN_XML.sub("", text)
