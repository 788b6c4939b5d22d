"""The repository says nothing about the machine it was made on, and its parts agree with each other."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import perpkit

ROOT = Path(__file__).resolve().parents[1]
PATHS_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|Users|work|mnt|private|opt|tmp)/[\w.-]+")
ADDRESS = re.compile(r"https?://|file://|\blocalhost\b|--(?:extra-)?index-url|--find-links")


def tracked(*which: str) -> list[Path]:
    """Files that are committed or, by default, would be."""
    which = which or ("--cached", "--others", "--exclude-standard")
    done = subprocess.run(["git", "ls-files", *which], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git repository, so there is no list of files")
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def test_no_file_names_a_path_of_a_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if path != Path(__file__).resolve():
            found += [f"{path.relative_to(ROOT)}: {m}" for m in PATHS_OF_A_MACHINE.findall(text)]
    assert not found, found


def test_the_search_for_paths_finds_one() -> None:
    assert PATHS_OF_A_MACHINE.findall("see /home/somebody/book and `/tmp/x`") == ["/home/somebody", "/tmp/x"]
    assert not PATHS_OF_A_MACHINE.findall("a relative path such as tests/work/x or ../tmp/y")


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-uv.lock"])
def test_every_locked_package_has_a_hash_and_no_host(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert not ADDRESS.search(text)
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert entries
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+==\S+", entry), f"not an exact version: {entry.splitlines()[0]}"
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"no hash: {entry.splitlines()[0]}"


def test_the_lock_holds_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["build"]]
    for extra in project["project"]["optional-dependencies"].values():
        wanted += extra
    names = {re.match(r"[A-Za-z0-9._-]+", w)[0].lower() for w in wanted}
    locked = set(re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert names <= locked, f"not locked, run make.py lock: {sorted(names - locked)}"


def test_contents_and_chapters_agree() -> None:
    listed = re.findall(r"(?:root|file): *(\S+)", (ROOT / "_toc.yml").read_text("utf-8"))
    committed = {p.relative_to(ROOT).with_suffix("").as_posix() for p in tracked("--cached") if p.is_relative_to(ROOT / "chapters")}
    assert len(listed) == len(set(listed))
    assert [page for page in listed if not (ROOT / f"{page}.md").is_file()] == []
    assert committed <= set(listed), "a committed chapter is not in _toc.yml; a fork's own copy need not be"


def test_the_api_page_has_every_public_module() -> None:
    package = ROOT / "perpkit"
    modules = {p.stem for p in package.glob("*.py")} | {p.parent.name for p in package.glob("*/__init__.py")}
    listed = re.findall(r"automodule:: perpkit\.(\w+)", (ROOT / "chapters" / "appendix" / "api.md").read_text("utf-8"))
    assert sorted(listed) == sorted(m for m in modules if not m.startswith("_")), "chapters/appendix/api.md has a section for each module"


def test_every_data_file_is_described() -> None:
    readme = ROOT / "data" / "README.md"
    if not readme.exists():
        pytest.skip("there is no data/README.md yet")
    text = readme.read_text("utf-8")
    files = [p.relative_to(ROOT / "data").as_posix() for p in tracked() if p.is_relative_to(ROOT / "data") and p != readme]
    assert files
    assert not [f for f in files if f not in text]


def test_every_citation_has_an_entry() -> None:
    keys = set(re.findall(r"^@\w+\{([^,\s]+),", (ROOT / "references.bib").read_text("utf-8"), re.MULTILINE))
    cited = {
        key.strip()
        for page in (ROOT / "chapters").rglob("*.md")
        for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text("utf-8"))
        for key in group.split(",")
    }
    assert not cited - keys


def test_the_readme_and_ci_give_the_two_commands() -> None:
    commands = ["python3 make.py book", "python3 make.py test"]
    readme = (ROOT / "README.md").read_text("utf-8")
    first = re.search(r"```sh\n(.*?)```", readme, re.DOTALL)
    assert first is not None
    assert first[1].split("\n")[:-1] == commands
    for path in (".ci/run", ".github/workflows/book.yml"):
        text = (ROOT / path).read_text("utf-8")
        assert [text.count(c) for c in commands] == [1, 1], path


def test_make_needs_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "make.py").read_text("utf-8"))
    modules = {a.name.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    modules |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert modules <= set(sys.stdlib_module_names)


def test_the_package_under_test_is_this_one() -> None:
    assert Path(perpkit.__file__).resolve().is_relative_to(ROOT)


def documented(name: str) -> bool:
    """Whether the API page has an entry of this name: a module it lists, or what such a module defines or, as a
    package, exports."""
    page = (ROOT / "chapters" / "appendix" / "api.md").read_text("utf-8")
    listed = set(re.findall(r"automodule:: (perpkit[\w.]*)", page))
    home = max((m for m in listed if f"{name}.".startswith(f"{m}.")), key=len, default="")
    if not home or name == home:
        return bool(home)
    try:
        found = pkgutil.resolve_name(f"{home}:{name.removeprefix(f'{home}.')}")
    except AttributeError:
        return False
    return home in ("perpkit.theory", "perpkit.pool") or getattr(found, "__module__", home) == home


def test_references_in_docstrings_name_what_the_api_page_has() -> None:
    """Only a build of the whole book would say so otherwise."""
    assert documented("perpkit.accounts.Accounts.sample") and documented("perpkit.theory.shortfall")
    assert not documented("perpkit.Accounts.sample") and not documented("perpkit.venue") and not documented("perpkit.venues.venu")
    named = {(p.name, name) for p in (ROOT / "perpkit").rglob("*.py") for name in re.findall(r":\w+:`~?(perpkit\.[\w.]+)`", p.read_text("utf-8"))}
    assert sorted((file, name) for file, name in named if not documented(name)) == []
