"""What an environment owes to being a copy: SnapStart takes a snapshot after the init phase, and every environment starts from it.

The peers of connections that were open then are long gone, and nothing would say so before a timeout. The route may have
changed by weeks.
https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Protocol

_SNAP_START = "snap-start"


class Closing(Protocol):
    def close(self) -> None: ...


def around_snapshot(clients: Iterable[Closing], refresh: Callable[[], None]) -> None:
    """Where Lambda will take a snapshot: close the clients' connections before it, and refresh after each restore from it.

    Lambda gives a restore 10 s in all.
    """
    if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") != _SNAP_START:  # set by Lambda itself
        return
    # In Lambda's managed runtimes, and with AWS's runtime client.
    from snapshot_restore_py import register_after_restore, register_before_snapshot

    for client in clients:
        register_before_snapshot(client.close)
    register_after_restore(refresh)
