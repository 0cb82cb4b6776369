"""Byte code for every Python file under a folder, in ``__pycache__`` beside it.

It runs in the interpreter that the byte code is for: this machine's, or CPython in WebAssembly
(``compile_folder.mjs``). So it imports the standard library only.

    python compile_folder.py <folder> <where the folder will be>
"""

import importlib.util
import py_compile
import sys
import warnings
from pathlib import Path


def compile_folder(folder: Path, shown_as: str) -> None:
    """Compile what lies under ``folder``. Raises ``py_compile.PyCompileError`` at the first file that is no Python.

    Unchecked (PEP 552): the interpreter takes the byte code without a look at the source or at any time
    stamp. ``shown_as`` is the folder's path in tracebacks, so that no path of the build gets into the bytes.
    """
    # A library's own sloppy escape sequence is not our news.
    warnings.simplefilter("ignore", SyntaxWarning)
    for source in sorted(folder.rglob("*.py")):
        py_compile.compile(
            str(source),
            cfile=importlib.util.cache_from_source(str(source), optimization=""),
            dfile=f"{shown_as}/{source.relative_to(folder).as_posix()}",
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )


if __name__ == "__main__":
    compile_folder(Path(sys.argv[1]), sys.argv[2])
