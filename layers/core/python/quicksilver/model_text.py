"""What a LightGBM model text says of itself, read without LightGBM.

LightGBM trusts the sizes in its own text: it reads past the end of one that was cut off. So a text is
measured here before the library sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from quicksilver.errors import ModelNotLoadable

_END_OF_TREES = b"\nend of trees"


@dataclass(frozen=True, slots=True)
class ModelHeader:
    """``feature_infos`` is per feature: ``[low:high]``, category codes like ``0:2:1``, or ``none`` if unused."""

    objective: str
    trees: int
    feature_names: tuple[str, ...]
    feature_infos: tuple[str, ...]

    def trained_codes(self, name: str) -> frozenset[int] | None:
        """The category codes training saw for a feature; ``None`` where it was no category or is unused.

        LightGBM leaves out the rarest codes (``BinMapper::FindBin``) and writes -1 for missing.
        """
        info = self.feature_infos[self.feature_names.index(name)]
        if info == "none" or info.startswith("["):
            return None
        return frozenset(code for code in map(int, info.split(":")) if code >= 0)


def read_header(text: bytes) -> ModelHeader:
    """Read the head of a whole model text. Raises ``ModelNotLoadable`` for one that is none, or is cut off."""
    if not text.startswith(b"tree\n"):
        raise ModelNotLoadable("The model text is not LightGBM's: it does not begin with 'tree'.")
    end = text.find(_END_OF_TREES)
    if end < 0:
        raise ModelNotLoadable("The model text is truncated: it has no end of trees.")
    start = text.find(b"\nTree=0\n")
    sizes = _line(text, b"tree_sizes").split()
    if not all(size.isdigit() for size in sizes):
        raise ModelNotLoadable("The model text is altered: a tree's size is not a number.")
    # The sizes count from the first tree's name to the end's, one byte after each line feed found above.
    if sizes and start + sum(int(size) for size in sizes) != end:
        raise ModelNotLoadable(
            "The model text is truncated or altered: its trees are not as long as it says."
        )
    names = _line(text, b"feature_names").decode(errors="replace").split(" ")
    infos = _line(text, b"feature_infos").decode(errors="replace").split(" ")
    if len(names) != len(infos):
        raise ModelNotLoadable(
            "The model text is altered: it describes more or fewer features than it names."
        )
    objective = _line(text, b"objective").decode(errors="replace")
    return ModelHeader(objective, text.count(b"\nTree="), tuple(names), tuple(infos))


def _line(text: bytes, name: bytes) -> bytes:
    match = re.search(rb"^" + name + rb"=(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else b""
