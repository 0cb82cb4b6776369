"""Known vulnerabilities: the real programs ask databases of our own on this machine, and those that do not answer."""

from __future__ import annotations

import gzip
import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from delivery import audit, vulnerabilities
from delivery.locks import ROOT
from delivery.vulnerabilities import NotAsked, Vulnerability, of_npm, of_python

KNOWN = {
    "id": "PYSEC-2026-1",
    "summary": "It does harm.",
    "aliases": [],
    "affected": [
        {
            "package": {"name": "thing", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.5"}]}],
        }
    ],
}
"""As OSV writes it: https://ossf.github.io/osv-schema/."""

ADVISORY = {
    "id": 1,
    "url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
    "title": "It does harm.",
    "severity": "high",
    "vulnerable_versions": "<99",
    "cwe": [],
    "cvss": {"score": 0, "vectorString": None},
}
"""As npm's bulk advisories have it, by package."""


@contextmanager
def database(answer: Any, status: int = 200) -> Iterator[tuple[str, list[Any]]]:
    """A database over HTTP that answers each POST by ``answer``, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            asked.append(json.loads(gzip.decompress(body) if packed else body))
            data = json.dumps(answer(asked[-1])).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def nobody() -> str:
    """An address on this machine where nobody answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    monkeypatch.setenv("npm_config_fetch_retries", "0")
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))


def locks(folder: Path, *lines: str) -> list[Path]:
    found = []
    for number, line in enumerate(lines):
        found.append(folder / f"{number}.txt")
        found[-1].write_text(f"{line} --hash=sha256:{number:064d}\n")
    return found


def osv(asked: Any) -> Any:
    known = asked["package"]["name"] == "thing" and asked["version"] == "1.0"
    return {"vulns": [KNOWN]} if known else {}


def test_every_version_of_every_lock_is_looked_up_whatever_it_is_for(tmp_path: Path) -> None:
    given = locks(tmp_path, "thing==1.0 ; sys_platform == 'win32'", "thing==2.0", "other==3.0", "thing==2.0")
    with database(osv) as (url, asked):
        found = of_python(given, asking=["--osv-url", url])
    assert sorted((item["package"]["name"], item["version"]) for item in asked) == [
        ("other", "3.0"),
        ("thing", "1.0"),
        ("thing", "2.0"),
    ]
    assert [str(item) for item in found] == ["thing 1.0 has PYSEC-2026-1, fixed in 1.5."]


def test_without_a_known_vulnerability_nothing_is_found(tmp_path: Path) -> None:
    with database(osv) as (url, _):
        assert of_python(locks(tmp_path, "thing==2.0"), asking=["--osv-url", url]) == []


@pytest.mark.parametrize("status", [500, 404])
def test_a_database_that_refuses_is_no_pass(status: int, tmp_path: Path) -> None:
    with (
        database(osv, status) as (url, _),
        pytest.raises(NotAsked, match="No vulnerability of a Python package is known, for the database"),
    ):
        of_python(locks(tmp_path, "thing==2.0"), asking=["--osv-url", url])


def test_a_database_that_is_not_there_is_no_pass(tmp_path: Path, nobody: str) -> None:
    with pytest.raises(NotAsked, match="for the database did not answer"):
        of_python(locks(tmp_path, "thing==2.0"), asking=["--osv-url", nobody])


@pytest.fixture
def npm_root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ROOT / name, root)
    return root


def test_a_vulnerability_of_an_npm_package_is_found_by_its_version(npm_root: Path) -> None:
    version = json.loads((npm_root / "package-lock.json").read_text())["packages"]["node_modules/ws"][
        "version"
    ]
    with database(lambda asked: {"ws": [ADVISORY]} if "ws" in asked else {}) as (url, asked):
        found = of_npm(npm_root, asking=[f"--registry={url}"])
    assert asked
    assert found == [Vulnerability(package="ws", version=version, id="GHSA-aaaa-bbbb-cccc")]
    assert str(found[0]) == f"ws {version} has GHSA-aaaa-bbbb-cccc, not fixed yet."


def test_npm_packages_without_one_pass(npm_root: Path) -> None:
    with database(lambda _: {}) as (url, _):
        assert of_npm(npm_root, asking=[f"--registry={url}"]) == []


def test_an_npm_registry_that_does_not_answer_is_no_pass(npm_root: Path, nobody: str) -> None:
    with pytest.raises(NotAsked, match="No vulnerability of an npm package is known, for the registry"):
        of_npm(npm_root, asking=[f"--registry={nobody}"])


def test_the_audit_says_in_one_sentence_that_it_does_not_know_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nobody: str, tmp_path: Path
) -> None:
    asked = locks(tmp_path, "thing==2.0")
    monkeypatch.setattr(audit, "of_python", lambda: of_python(asked, asking=["--osv-url", nobody]))
    assert audit.main(["vulnerabilities"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("audit: No vulnerability of a Python package is known")
    assert said.err.count("\n") == 1


def test_the_audit_fails_where_something_is_found_and_passes_where_nothing_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = Vulnerability(package="thing", version="1.0", id="PYSEC-2026-1")
    monkeypatch.setattr(audit, "of_python", lambda: [known])
    monkeypatch.setattr(audit, "of_npm", list)
    assert audit.main(["vulnerabilities"]) == 1
    assert capsys.readouterr().out.splitlines() == [str(known), "audit: 1 finding on vulnerabilities."]
    monkeypatch.setattr(audit, "of_python", list)
    assert audit.main(["vulnerabilities"]) == 0


def test_all_locks_are_looked_up_unless_some_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def note(file: Path, asking: Any) -> Iterator[Vulnerability]:
        seen.extend(line.split(" ")[0] for line in file.read_text().splitlines())
        return iter(())

    monkeypatch.setattr(vulnerabilities, "_pip_audit", note)
    of_python()
    assert len(seen) == len(set(seen))
    assert {name.partition("==")[0] for name in seen} >= {
        "boto3",
        "ziglang",
        "ministack",
        "uv",
        "pydantic",
        "flask",
    }
