"""Compilation of the rules, and why a stale rule cannot be run.

Numba's cache looks at the file a function stands in, not at the functions it calls. The engine calls rules in other files, so an
edited rule would go unnoticed. The cache folder is therefore named after the source of every file that compiles anything.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numba
from numba.core import cgutils, config
from numba.extending import intrinsic, overload

_PACKAGE = Path(__file__).parent


def _digest() -> str:
    """Hash of every source file that uses ``compiled``, of Python's and of Numba's version."""
    h = hashlib.sha256(f"{sys.version}{numba.__version__}".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        source = path.read_bytes()
        if b"compiled" in source:
            h.update(path.relative_to(_PACKAGE).as_posix().encode() + source)
    return h.hexdigest()[:16]


def _cache_folder() -> str:
    """Folder of this source's compiled code; folders of other sources are removed."""
    home = _PACKAGE / "__pycache__"
    name = f"compiled-{_digest()}"
    for old in home.glob("compiled-*"):
        if old.name != name:
            shutil.rmtree(old, ignore_errors=True)  # another process may be removing it too
    return str(home / name)


_FOLDER = _cache_folder()


def compiled(function: Callable) -> Callable:
    """``numba.njit`` without the GIL and with a cache that sees every file of the package.

    ``.py_func`` is the interpreted twin. Setting the environment variable ``NUMBA_DISABLE_JIT=1`` runs the whole package interpreted.
    Divisions by zero follow NumPy (inf, nan) instead of raising, as in the arrays around the compiled code.
    """
    before = config.CACHE_DIR
    config.CACHE_DIR = _FOLDER  # read once, when the function is decorated; other packages keep their own setting
    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)
    finally:
        config.CACHE_DIR = before


def borrowed(array):
    """``array`` for compiled code that need not keep it alive, because its caller does.

    Numba counts who holds an array, in a way that is safe between threads, and that takes longer than a mark rule: every slice, and every
    call that is handed one, is counted in and out. What this returns, and its slices, are not counted.
    """
    return array


@overload(borrowed, inline="always")
def _borrowed(array):
    return lambda array: _without_owner(array)


@intrinsic
def _without_owner(typing, array):
    """The same view of the same memory, with neither a counter nor a Python object behind it."""

    def build(context, builder, signature, given):
        view = cgutils.create_struct_proxy(array)(context, builder, value=given[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), build
