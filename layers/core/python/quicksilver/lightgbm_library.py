"""LightGBM's C library by ctypes: what scores on the request path, and trains off it.

Importing the ``lightgbm`` package would cost half a second and 150 MiB of numpy and scipy for a few calls of its C API,
so the library alone is loaded, from wherever the package or the layer has it.
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from quicksilver.errors import ModelNotLoadable, QuicksilverError

# include/LightGBM/c_api.h
C_API_DTYPE_FLOAT32 = 0
C_API_DTYPE_FLOAT64 = 1
C_API_PREDICT_RAW_SCORE = 1
C_API_PREDICT_CONTRIB = 3
C_API_ROW_MAJOR = 1


def library_path() -> Path:
    """Where ``lib_lightgbm.so`` lies: in the installed package or in the layer, found the same way."""
    spec = importlib.util.find_spec("lightgbm")
    for folder in (spec.submodule_search_locations if spec else None) or ():
        for name in ("lib_lightgbm.so", "lib_lightgbm.dylib"):
            path = Path(folder, "lib", name)
            if path.is_file():
                return path
    raise ModelNotLoadable("LightGBM's library is not installed: the function needs its lightgbm layer.")


@cache
def library() -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library_path()))
    loaded.LGBM_GetLastError.restype = ctypes.c_char_p
    return loaded


class Refused(QuicksilverError):
    """LightGBM's own words for what it did not do; whoever called says what that means."""


def call(name: str, *arguments: Any) -> None:
    """Call the C API; every function of it returns 0, or -1 with a message kept for this thread. Raises ``Refused``."""
    loaded = library()
    if getattr(loaded, name)(*arguments) != 0:
        raise Refused(loaded.LGBM_GetLastError().decode(errors="replace"))
