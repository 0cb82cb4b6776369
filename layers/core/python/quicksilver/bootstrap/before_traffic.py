"""The before-traffic hook's wiring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from quicksilver.bootstrap.code_release import Hook, deployments, parts
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.code_release.before_traffic import BeforeTraffic
from quicksilver.settings import BeforeTrafficSettings


def before_traffic_hook(events: Path) -> Hook:
    """Wire the before-traffic hook; ``events`` is the folder of saved events."""
    configure_logging()
    settings = BeforeTrafficSettings()  # every value comes from the environment
    made = parts(settings)
    before_traffic = BeforeTraffic(
        made.versions,
        releases=made.releases,
        registry=made.registry,
        golden=made.golden,
        warmth=made.warmth,
        executions=settings.provisioned_concurrency,
        events=saved_events(events),
        changed=settings.changed_answers,
        clock=made.clock,
        pause=made.pause,
    )
    return Hook(deployments(), before_traffic.check)


def saved_events(folder: Path) -> dict[str, dict[str, Any]]:
    """The events in a folder's JSON files, by name. Raises ``FileNotFoundError`` for a folder without any."""
    events = {file.stem: json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))}
    if not events:
        raise FileNotFoundError(f"There is no saved event in {folder}.")
    return events
