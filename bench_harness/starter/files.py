"""The files that `bench init` writes, made from templates for the repository that they are for."""

import os
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from bench_harness.config import find_tool_table
from bench_harness.git import git_output

PYPROJECT = "pyproject.toml"
GITIGNORE = ".gitignore"
HARNESS = "bench_harness[asv]"
BUDGET = "300s"
_NO_PACKAGE = ("benchmarks", "build", "dist", "doc", "docs", "examples", "scripts", "test", "tests", "tools")


@dataclass(frozen=True)
class Planned:
    """A file, relative to the root of the repository; `there` tells that it exists and is kept as it is."""

    path: str
    text: str
    there: bool


@dataclass(frozen=True)
class Repository:
    """What is known of a repository: its root, the name of the project, and its package, where one was found."""

    root: Path
    project: str
    package: str | None
    installable: bool

    @classmethod
    def find(cls, folder: Path) -> "Repository | None":
        """Return the repository around a folder, None where there is none."""
        top = git_output(folder, "rev-parse", "--show-toplevel")
        if not top:
            return None
        root = Path(top)
        installable = (root / "setup.py").is_file() or _has_build(root / PYPROJECT)
        return cls(root, _project_name(root), _package(root), installable)


def _has_build(pyproject: Path) -> bool:
    if not pyproject.is_file():
        return False
    text = pyproject.read_text(encoding="utf-8", errors="replace")
    return re.search(r"^\[(project|build-system)\]", text, re.MULTILINE) is not None


def _project_name(root: Path) -> str:
    # Within JSON, Python and YAML without an escape.
    return re.sub(r"[^A-Za-z0-9._-]+", "-", root.name).strip("-.") or "project"


def _package(root: Path) -> str | None:
    """Return the first package of the root or of src/, else the first module of the root."""
    packages = [path.parent for folder in (root, root / "src") for path in sorted(folder.glob("*/__init__.py"))]
    modules = [path for path in sorted(root.glob("*.py")) if path.stem not in ("setup", "conftest", "noxfile")]
    names = [path.stem for path in (*packages, *modules)]
    return next((name for name in names if name.isidentifier() and name not in _NO_PACKAGE), None)


def planned_files(repository: Repository, harness: str = HARNESS, budget: str = BUDGET) -> list[Planned]:
    """Return every file, in the order in which they are listed."""
    values = {
        "PROJECT": repository.project,
        "PACKAGE": repository.package or "",
        "HARNESS": harness,
        "BUDGET": budget,
        "COMMANDS": "" if repository.installable else _template("not_installable.json").rstrip(),
    }
    suite = "first_benchmark.py.txt" if repository.package else "first_example.py.txt"
    templates = {
        "asv.conf.json": "asv.conf.json",
        "benchmarks/__init__.py": None,
        f"benchmarks/{'importing' if repository.package else 'example'}.py": suite,
        PYPROJECT: "tool_bench_harness.toml",
        GITIGNORE: "gitignore",
        ".github/workflows/benchmark.yml": "benchmark.yml",
        ".github/workflows/benchmark-comment.yml": "benchmark-comment.yml",
    }
    return [
        Planned(path, _filled(template, values), os.path.lexists(repository.root / path))
        for path, template in templates.items()
        if not _superfluous(path, repository.root)
    ]


def _superfluous(path: str, root: Path) -> bool:
    """Tell whether a file is not asked for: a first benchmark where there is a suite already."""
    return path.startswith("benchmarks/") and (root / "benchmarks" / "__init__.py").exists() and "__init__" not in path


def _filled(template: str | None, values: dict[str, str]) -> str:
    text = "" if template is None else _template(template)
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _template(name: str) -> str:
    return files(__package__).joinpath("templates").joinpath(name).read_text(encoding="utf-8")


def lacks_table(root: Path) -> bool:
    """Tell whether there is a pyproject.toml without [tool.bench_harness]: what it lacks is for the user to paste.

    Raises:
        ConfigError: it is not valid TOML.
    """
    path = root / PYPROJECT
    return path.is_file() and find_tool_table(path) is None
