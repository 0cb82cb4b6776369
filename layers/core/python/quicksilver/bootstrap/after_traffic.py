"""The after-traffic hook's wiring."""

from __future__ import annotations

from quicksilver.bootstrap.code_release import Hook, deployments, parts
from quicksilver.bootstrap.logs import configure_logging
from quicksilver.code_release.after_traffic import AfterTraffic
from quicksilver.settings import AfterTrafficSettings


def after_traffic_hook() -> Hook:
    """Wire the after-traffic hook."""
    configure_logging()
    made = parts(AfterTrafficSettings())  # every value comes from the environment
    after_traffic = AfterTraffic(
        made.versions,
        releases=made.releases,
        registry=made.registry,
        golden=made.golden,
        warmth=made.warmth,
        clock=made.clock,
        pause=made.pause,
    )
    return Hook(deployments(), after_traffic.check)
