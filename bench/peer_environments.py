"""Each peer in a virtual environment of its own, ``.local/peers/<name>``, from ``requirements/peers/<name>.txt``.

Wheels only where there are wheels; a peer that has none is built from its source, hashes checked all the same,
and says so. One that does not install here is a row in the table with the reason, never a failed bench.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "requirements" / "peers"
ENVIRONMENTS = ROOT / ".local" / "peers"
INSTALL_SECONDS = 600


class DoesNotInstall(Exception):
    """A peer that cannot be installed here; says why in one line."""


@dataclass(frozen=True)
class Environment:
    """A peer's interpreter. ``note`` is what a reader should know of how it came to be."""

    python: Path
    note: str = ""

    def program(self, name: str) -> str:
        return str(self.python.parent / name)


def environment(peer: str) -> Environment:
    """The peer's environment, made now if its lock is new. Raises ``DoesNotInstall``, also for one that did not before."""
    lock, folder = LOCKS / f"{peer}.txt", ENVIRONMENTS / peer
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    marker = folder / ".bench.json"
    made = json.loads(marker.read_text()) if marker.exists() else {}
    if made.get("lock_sha256") != digest:
        made = {"lock_sha256": digest, **_make(lock, folder)}
        marker.write_text(json.dumps(made, indent=2) + "\n")
    if reason := made.get("reason"):
        raise DoesNotInstall(reason)
    return Environment(folder / "bin" / "python", made.get("note", ""))


def _make(lock: Path, folder: Path) -> dict[str, str]:
    print(f"installing {lock.stem} into .local/peers/{lock.stem}", file=sys.stderr)
    uv = [str(Path(sys.executable).with_name("uv"))]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
    sync = [*uv, "pip", "sync", "--quiet", "--python", str(folder / "bin" / "python"), "--require-hashes"]
    attempts = {"": [*sync, "--only-binary", ":all:", str(lock)], "built from source": [*sync, str(lock)]}
    reason = ""
    for note, command in attempts.items():
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            reason = f"did not install within {INSTALL_SECONDS} s"
        except subprocess.CalledProcessError as error:
            lines = [line.strip() for line in str(error.stderr).splitlines() if line.strip()]
            reason = next((line for line in lines if "rror" in line or "ause" in line), "unknown")[:160]
        else:
            return {"note": note}
    return {"reason": reason}


def release(peer: str, package: str) -> str:
    """The release of a package in a peer's lock."""
    for line in (LOCKS / f"{peer}.txt").read_text().splitlines():
        name, _, rest = line.partition("==")
        if name == package:
            return rest.split()[0]
    return ""
