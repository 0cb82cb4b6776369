"""Other explainers beside LightGBM's own, each in its environment and beside pred_contrib in the same process."""

from __future__ import annotations

import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.peer_environments import ROOT, DoesNotInstall, environment, release

EXPLAINERS = {"shap": "shap", "fasttreeshap": "fasttreeshap", "woodelf": "woodelf-explainer"}
"""Environment, and the package that is measured in it."""
SECONDS = 120
SCRIPT = ROOT / "bench" / "peer_apps" / "explain.py"


def explainer_row(peer: str, model: bytes, vectors: Sequence[Sequence[float]]) -> dict[str, Any]:
    """What an explainer needs per row; ``reason`` where it gave nothing."""
    row: dict[str, Any] = {"release": release(peer, EXPLAINERS[peer]), "installed": True}
    try:
        env = environment(peer)
    except DoesNotInstall as error:
        return {**row, "installed": False, "reason": f"does not install here: {error}"}
    with tempfile.TemporaryDirectory() as folder:
        text, rows = Path(folder, "model.txt"), Path(folder, "rows.json")
        text.write_bytes(model)
        rows.write_text(json.dumps([[None if math.isnan(x) else x for x in vector] for vector in vectors]))
        command = [str(env.python), "-W", "ignore", str(SCRIPT), peer, str(text), str(rows)]
        variables = {"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": folder, "HOME": folder}
        try:
            done = subprocess.run(
                command, env=variables, capture_output=True, text=True, check=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return {**row, "reason": f"gave no answer within {SECONDS} s"}
        except subprocess.CalledProcessError as error:
            last = (str(error.stderr).strip().splitlines() or ["unknown"])[-1]
            return {**row, "reason": f"does not explain this model: {last[:120]}"}
    return {**row, "note": env.note, **json.loads(done.stdout)}
