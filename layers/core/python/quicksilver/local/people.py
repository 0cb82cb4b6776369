"""The people of the local stage, so that an author and an approver are two: IAM users in the emulator.

They sign as people on AWS do, and the registry sees the ARN of each. The emulator checks no policy, so what
they may do is all the same. Their keys open nothing but this emulator and are kept for their owner's eyes
only, in the folder that goes when the emulator stops, as the users do.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

from quicksilver.aws.deployed_stage import DeployedStage
from quicksilver.aws.iam_users import AccessKey, IamUsers
from quicksilver.errors import NotFound
from quicksilver.local.emulator import Emulator

PEOPLE = {"ada": "data scientist", "grace": "approver"}


class People:
    """Who works on the local stage of one emulator."""

    def __init__(self, emulator: Emulator, users: Callable[[], IamUsers] | None = None) -> None:
        self._emulator = emulator
        self._users = users or (
            lambda: IamUsers(DeployedStage("local", emulator.aws_environment).client("iam"))
        )
        self._file = emulator.temporary / "people.json"

    def ensure(self) -> None:
        """Make each person who is not there yet; whoever is keeps their key. Raises ``Unavailable``."""
        users, known = self._users(), self._known()
        keys = {name: users.ensure(name, known.get(name)) for name in PEOPLE}
        draft = self._file.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        # The mode at creation: no moment in which others could read the keys.
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({name: key._asdict() for name, key in keys.items()}, file, indent=2)
        draft.replace(self._file)

    def environment_of(self, person: str) -> dict[str, str]:
        """What a process needs in its environment to reach the emulator as that person. Raises ``NotFound``."""
        key = self._known().get(person)
        if key is None:
            error = NotFound(f"There is nobody called {person} in the local stage.")
            if person in PEOPLE:
                error.add_note("Deploy to it first: quicksilver local up")
            else:
                error.add_note("There are " + " and ".join(f"{name} ({is_})" for name, is_ in PEOPLE.items()))
            raise error
        return {
            **self._emulator.aws_environment,
            "AWS_ACCESS_KEY_ID": key.key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret,
        }

    def _known(self) -> dict[str, AccessKey]:
        try:
            return {name: AccessKey(**key) for name, key in json.loads(self._file.read_text()).items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}
