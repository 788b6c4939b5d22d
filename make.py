#!/usr/bin/env python3
"""Build the book and run the tests, with nothing installed but Python.

    python3 make.py book              every chapter from scratch; warnings, missing figures and missing numbers are errors
    python3 make.py test [ARGS]       the tests; ARGS go to pytest
    python3 make.py chapter NAME      one chapter alone, in or out of _toc.yml, such as 03-weekend-gap
    python3 make.py lock [ARGS]       resolve requirements.lock again; ARGS go to uv, such as --upgrade

The first run makes .venv from requirements.lock; later runs use it until the lock, pyproject.toml or Python changes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
BUILD = ROOT / "_build"
UV_LOCK, LOCK, PROJECT = ROOT / "requirements-uv.lock", ROOT / "requirements.lock", ROOT / "pyproject.toml"
OLDEST, NEWEST = (3, 11), (3, 13)

# Settings of the reader's account that would change what a chapter draws, where it records, or which Python runs it.
PERSONAL = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONWARNINGS", "VIRTUAL_ENV", "MPLBACKEND", "MATPLOTLIBRC", "JUPYTER_PATH",
    "JUPYTER_CONFIG_PATH", "PERPKIT_RESULTS", "PERPKIT_CHAPTER",
)  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """The caller's environment without personal settings of Python, Jupyter and Matplotlib; their folders lie in .venv.

    BLAS has one thread: its sums would depend on the number of cores, and on the small matrices of a search threads mostly wait for each other.
    """
    kept = {k: v for k, v in os.environ.items() if k not in PERSONAL}
    folders = {"MPLCONFIGDIR": "matplotlib", "IPYTHONDIR": "ipython", "JUPYTER_CONFIG_DIR": "jupyter"}
    return kept | {k: str(VENV / "settings" / v) for k, v in folders.items()} | {"OPENBLAS_NUM_THREADS": "1"} | more


def attempt(*command: object, **more: str) -> int:
    """Run a command in the project and return its code."""
    return subprocess.run([str(c) for c in command], cwd=ROOT, env=environment(**more), check=False).returncode


def run(*command: object, **more: str) -> None:
    """Run a command in the project; a failure ends this program."""
    code = attempt(*command, **more)
    if code:
        shown = " ".join(Path(str(c)).name for c in command[:4])
        sys.exit(f"make.py: stopped, because this failed with code {code}: {shown} ...")


def stamp_wanted() -> str:
    """Changes when anything that decides what is installed changes."""
    digest = hashlib.sha256(f"{sys.version} {ROOT}".encode())
    for path in (UV_LOCK, LOCK, PROJECT):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def setup() -> None:
    """Make .venv from the locks, unless it is there already."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        running = sys.version.split()[0]
        sys.exit(f"make.py: the locked packages are for Python 3.11, 3.12 and 3.13; this is {running}. Run for instance: python3.13 make.py")
    stamp = VENV / "stamp"
    if stamp.exists() and stamp.read_text() == stamp_wanted():
        return
    print("installing the locked packages into .venv", flush=True)
    own_pip = importlib.util.find_spec("ensurepip") is not None  # Debian keeps it in a package of its own
    if not own_pip and importlib.util.find_spec("pip") is None:
        sys.exit("make.py: this Python has neither ensurepip nor pip; on Debian or Ubuntu: apt install python3-venv")
    venv.EnvBuilder(with_pip=own_pip, clear=True).create(VENV)
    pip = [PYTHON, "-m", "pip"] if own_pip else [sys.executable, "-m", "pip", "--python", PYTHON]
    run(*pip, "install", "--quiet", "--require-hashes", "-r", UV_LOCK)
    uv = [BIN / "uv", "pip", "install", "--quiet", "--python", PYTHON]
    if attempt(*uv, "--compile-bytecode", "--require-hashes", "-r", LOCK):
        print("uv could not; trying pip, which may know an index that uv does not", flush=True)
        run(*pip, "install", "--quiet", "--require-hashes", "-r", LOCK)
    run(*uv, "--no-deps", "--no-build-isolation", "--editable", ".")
    run(PYTHON, "-c", "import matplotlib.pyplot")  # builds the font list once; in a chapter its notice would be an error
    stamp.write_text(stamp_wanted())


def build(output: Path, pages: list[str], *options: object, **more: str) -> None:
    """Check the sources, run Sphinx into ``output``/html from nothing, check what it made and print what it cost."""
    start = time.perf_counter()
    shutil.rmtree(output, ignore_errors=True)
    run(PYTHON, "_ext/check_book.py", "sources", *pages)
    records = output / "results"
    records.mkdir(parents=True)
    book = [PYTHON, BIN / "jupyter-book", "build", "-W", "-n", "--keep-going", *options, "."]
    if attempt(*book, PERPKIT_RESULTS=str(records), **more):
        run(PYTHON, "_ext/check_book.py", "stderr", output / "jupyter_execute")
        sys.exit("make.py: the build stopped or warned; a cell's traceback or a line with WARNING or ERROR above says where")
    run(PYTHON, "_ext/check_book.py", "site", output / "html", records, *pages)
    seconds = json.loads((output / "seconds.json").read_text("utf-8"))
    width = max(map(len, [*seconds, "all chapters"]))
    print(f"\n{'page':{width}}  seconds")
    for page, spent in [*seconds.items(), ("all chapters", sum(seconds.values())), ("whole build", time.perf_counter() - start)]:
        print(f"{page:{width}}  {spent:7.1f}")


def book() -> None:
    """The whole book."""
    build(BUILD, [])
    print(f"\nThe book is in {BUILD / 'html'}; open index.html there, no network needed.")


def chapter_page(name: str) -> str:
    """The page that a chapter's name stands for, such as chapters/03-weekend-gap."""
    pages = [p.relative_to(ROOT).with_suffix("").as_posix() for p in sorted((ROOT / "chapters").rglob("*.md"))]
    wanted = name.removesuffix(".md").removeprefix("./")
    found = [page for page in pages if wanted in (page, page.removeprefix("chapters/"), page.rsplit("/", 1)[-1])]
    if len(found) != 1:
        what = "is not a chapter" if not found else f"could be {' or '.join(found)}"
        sys.exit(f"make.py: {name} {what}. Chapters: {', '.join(p.removeprefix('chapters/') for p in pages)}")
    return found[0]


def chapter(page: str) -> None:
    """One chapter by itself, with the references page its citations need."""
    references = "chapters/appendix/references"
    # Jupyter Book writes to _build under the folder it is given.
    folder = BUILD / "chapter" / page.rsplit("/", 1)[-1]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    toc = folder / "_toc.yml"
    more_pages = f"chapters:\n- file: {references}\n" if page != references else ""
    toc.write_text(f"format: jb-book\nroot: {page}\n{more_pages}", "utf-8")
    build(folder / "_build", [page], "--toc", toc, "--path-output", folder, PERPKIT_CHAPTER=page)
    html = folder / "_build" / "html"
    print(f"\nThe chapter is {html / page}.html; its numbers are in {html / 'results.json'}.")


def lock(arguments: list[str]) -> None:
    """Resolve the locks again, for every supported Python and platform; neither names a host."""
    compile_ = [BIN / "uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--python-version", "3.11"]
    run(*compile_, *arguments, "--all-extras", "--group", "build", "pyproject.toml", "-o", LOCK)
    run(*compile_, *arguments, "--group", "bootstrap", "-o", UV_LOCK)


def main(arguments: list[str]) -> None:
    command, rest = (arguments or [""])[0], arguments[1:]
    if command == "book" and not rest:
        setup()
        book()
    elif command == "chapter" and len(rest) == 1:
        page = chapter_page(rest[0])
        setup()
        chapter(page)
    elif command == "test":
        setup()
        run(PYTHON, "-m", "pytest", "-q", *rest)
    elif command == "lock":
        setup()
        lock(rest)
    elif not arguments or command in ("help", "-h", "--help"):
        print(__doc__.strip())
    else:
        wanted = f"{command} takes {'one name' if command == 'chapter' else 'nothing more'}" if command in ("book", "chapter") else f"unknown command {command!r}"
        sys.exit(f"make.py: {wanted}\n\n{__doc__.strip()}")


if __name__ == "__main__":
    main(sys.argv[1:])
