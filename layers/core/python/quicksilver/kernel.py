"""The native SHAP kernel, by ctypes: exact contributions at the price of a score.

The C sources are in ``layers/core/native``; ``contributions.c`` says what is computed and why it is exact.
The library lies beside this module, in a checkout and in the layer alike.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from quicksilver.errors import KernelRefused, ModelNotLoadable

_UNSUPPORTED = 2  # enum qs_status in quicksilver.h
_ALIGNMENT = 64

Row = ctypes.Array[ctypes.c_double]


@cache
def _library() -> ctypes.CDLL:
    path = Path(__file__).with_name("libquicksilver.so")
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        raise ModelNotLoadable("The SHAP kernel is not built for this machine; run make setup.") from None
    library.qs_forest_scratch_bytes.restype = ctypes.c_size_t
    library.qs_forest_free.restype = None
    library.qs_contributions.restype = None
    library.qs_contributions.argtypes = [ctypes.c_void_p] * 4
    return library


class Kernel:
    """A compiled model. Any number of threads may use it, each through a ``Worker`` of its own.

    Raises ``ModelNotLoadable`` for a text that must not be trusted, by LightGBM's reader either, and ``KernelRefused``
    for a sound model that this kernel cannot explain.
    """

    def __init__(self, model_text: bytes) -> None:
        library = _library()
        self.forest = ctypes.c_void_p()
        message = ctypes.create_string_buffer(256)
        status = library.qs_forest_compile(
            ctypes.c_char_p(model_text), ctypes.c_size_t(len(model_text)),
            ctypes.byref(self.forest), message, ctypes.c_size_t(len(message)),
        )  # fmt: skip
        reason = message.value.decode(errors="replace")
        if status == _UNSUPPORTED:
            raise KernelRefused(f"The SHAP kernel cannot explain the model: {reason}.")
        if status:
            raise ModelNotLoadable(f"The model text is not usable: {reason}.")
        weakref.finalize(self, library.qs_forest_free, self.forest)
        self.features: int = library.qs_forest_features(self.forest)
        self.outputs: int = library.qs_forest_outputs(self.forest)
        self.scratch_bytes: int = library.qs_forest_scratch_bytes(self.forest)

    def worker(self, row: Row) -> Worker:
        return Worker(self, row)

    def contributions(self, vector: Sequence[float]) -> tuple[float, ...]:
        """The contributions of one vector, on buffers of its own: for tests and benchmarks."""
        row = (ctypes.c_double * self.features)()
        row[:] = list(vector)
        return tuple(self.worker(row)())


class Worker:
    """Explains what ``row`` holds whenever it is called. For one thread: it reuses its own buffers.

    It gives ``outputs * (features + 1)`` numbers in raw-score units; each output's last is its expected value.
    """

    __slots__ = ("_arguments", "_call", "_kernel", "_scratch")

    def __init__(self, kernel: Kernel, row: Row) -> None:
        if len(row) != kernel.features:
            raise ValueError(f"the row must have {kernel.features} places, not {len(row)}")
        # Kept, because the C side points into them.
        self._kernel = kernel
        self._scratch = ctypes.create_string_buffer(kernel.scratch_bytes + _ALIGNMENT)
        address = ctypes.addressof(self._scratch)
        out = (ctypes.c_double * (kernel.outputs * (kernel.features + 1)))()
        self._arguments = (kernel.forest, row, address + -address % _ALIGNMENT, out)
        self._call: Any = _library().qs_contributions

    def __call__(self) -> Row:
        self._call(*self._arguments)
        return self._arguments[3]
