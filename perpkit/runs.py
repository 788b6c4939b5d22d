"""Runs: what a long ensemble leaves on disk, so that it can be killed and go on.

A store is a folder. ``run.json`` says which run it holds, down to the source of the package; each finished block of weekends is a NetCDF
file of its own, which gets its name only when it is complete. A run that is killed therefore loses the blocks it was working on and
nothing else, and a file from another run is refused instead of mixed in.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import CodeType, FunctionType, ModuleType

import numba
import numpy as np
import xarray as xr

_PACKAGE = Path(__file__).parent


def _source() -> str:
    """Hash of the package's source and of what else decides the last digit: Python, NumPy and Numba."""
    h = hashlib.sha256(f"{platform.python_version()} {np.__version__} {numba.__version__}".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        h.update(path.relative_to(_PACKAGE).as_posix().encode() + path.read_bytes())
    return h.hexdigest()[:16]


SOURCE = _source()
"""Read when the package is imported: a file edited later is not what runs."""


class Store:
    """Finished blocks of one run in a folder; one process at a time.

    Parameters
    ----------
    folder : made if it is not there.
    identity : what makes this run this run, by name; see :func:`identity`.

    Raises
    ------
    ValueError
        If the folder holds another run, with what differs, or files that are no run.
    """

    def __init__(self, folder: str | os.PathLike, identity: Mapping[str, str]) -> None:
        self.folder, self.identity = Path(folder), dict(identity)
        self.key = digest(self.identity)
        for part in self.folder.glob("*.part"):
            part.unlink(missing_ok=True)  # what a killed run was writing
        about = self.folder / "run.json"
        if about.exists():
            self._compare(json.loads(about.read_text("utf-8")))
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise ValueError(f"{self.folder} is neither empty nor a run; give a new folder")
        else:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._put(about, lambda path: path.write_text(json.dumps(self.identity, indent=1) + "\n", "utf-8"))

    def _compare(self, there: Mapping[str, str]) -> None:
        names = [*self.identity, *(name for name in there if name not in self.identity)]
        differ = [f"{name} is {there.get(name, 'absent')} there and {self.identity.get(name, 'absent')} here" for name in names
                  if there.get(name) != self.identity.get(name)]  # fmt: skip
        if differ:
            raise ValueError(f"{self.folder} holds another run: {'; '.join(differ)}. Give another folder, or remove this one")

    def _put(self, path: Path, write) -> None:
        """Write a file under another name, see that it is on the disk, and only then give it its own."""
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        write(part)
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)

    def save(self, start: int, rows: xr.DataArray) -> None:
        """Keep a finished block, dims (machine, weekend, outcome), that begins with weekend ``start``."""
        kept = rows.assign_attrs(run=self.key)
        self._put(self.folder / f"block-{start:012d}.nc", lambda path: kept.to_netcdf(path, engine="h5netcdf"))

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Finished blocks in order: the first weekend and the outcomes, shape (machines, weekends, outcomes)."""
        for path in sorted(self.folder.glob("block-*.nc")):
            with xr.open_dataarray(path, engine="h5netcdf") as rows:
                if rows.attrs.get("run") != self.key:
                    raise ValueError(f"{path} belongs to another run; remove it")
                yield int(rows["weekend"][0]), rows.values


def identity(machines: Mapping[str, object], accounts: Mapping[str, object], closure, gaps: np.ndarray, **plain: object) -> dict[str, str]:
    """What must be the same for two runs to give the same numbers, by name: versions, seed, gaps, closure, every machine and population."""
    same = {"perpkit": version("perpkit"), "source": SOURCE} | {name: str(value) for name, value in plain.items()}
    same |= {"gaps": digest(gaps), "closure": digest(closure)}
    same |= {f"machine {name!r}": digest(machine) for name, machine in machines.items()}
    return same | {f"accounts of {name!r}": digest(held) for name, held in accounts.items()}


def digest(thing: object) -> str:
    """Hash of frozen parameters, arrays or a reader's rule by what they hold, the same in every process.

    Raises
    ------
    ValueError
        If something in it cannot be told apart by its content.
    """
    h = hashlib.sha256()
    _feed(h, thing, set())
    return h.hexdigest()[:16]


def _feed(h, thing: object, seen: set[int]) -> None:
    h.update(type(thing).__name__.encode() + b"(")
    function = getattr(thing, "py_func", thing)  # a compiled rule by its Python source
    if isinstance(thing, np.ndarray):
        h.update(f"{thing.dtype} {thing.shape}".encode() + np.ascontiguousarray(thing).tobytes())
    elif dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        for field in dataclasses.fields(thing):
            h.update(field.name.encode())
            _feed(h, getattr(thing, field.name), seen)
    elif isinstance(thing, Mapping):
        for key in sorted(thing):
            h.update(repr(key).encode())
            _feed(h, thing[key], seen)
    elif isinstance(thing, (tuple, list)):
        for part in thing:
            _feed(h, part, seen)
    elif isinstance(function, FunctionType):
        _feed_function(h, function, seen)
    elif isinstance(thing, CodeType):
        _feed(h, (thing.co_code, thing.co_consts, thing.co_names, thing.co_varnames), seen)
    elif isinstance(thing, (str, bytes, bool, int, float, type(None), np.generic)):
        h.update(repr(thing).encode())
    elif isinstance(thing, (ModuleType, type)) or hasattr(thing, "__qualname__"):
        h.update(f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '') or thing.__name__}".encode())
    else:
        raise ValueError(f"cannot tell whether {thing!r} is the same in another process; build runs that are stored from numbers and rules")
    h.update(b")")


def _feed_function(h, function: FunctionType, seen: set[int]) -> None:
    """Code, defaults, and whatever the code reads from around it: Numba compiles those in."""
    if id(function) in seen:
        return
    seen.add(id(function))
    code = function.__code__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    around = {name: function.__globals__[name] for name in code.co_names if name in function.__globals__}
    for part in (code, function.__defaults__ or (), cells, around):
        _feed(h, part, seen)
