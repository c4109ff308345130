"""Where prepared data lies by default, and how an empty folder is filled from the embedded structures."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from bench_core.commands.output import on_terminal, say
from bench_core.errors import StoreError
from bench_core.origins.layout import read_manifest
from bench_core.origins.prepare import (
    Prepared,
    StructureFile,
    check_folder,
    find_structures,
    is_prepared,
    made_by_these_rules,
    prepare_store,
)

VARIABLE = "BENCH_CORE_DATA"


def default_folder() -> Path:
    """$BENCH_CORE_DATA where that is set and not empty, else a folder of the user's cache directory."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    from platformdirs import user_cache_path

    try:
        return user_cache_path("bench_core", appauthor=False) / "embedded"
    except RuntimeError as error:  # no HOME
        raise StoreError(f"no folder for the data ({error}): set ${VARIABLE}, or give --data or --out") from None


def prepare_with_progress(structures: Path | None, out: Path) -> Prepared:
    """Prepare a folder of structures (None: the embedded ones) into `out`, with a bar on stderr if a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    from bench_core.structures import embedded_structure, embedded_structures, read_atoms

    files: Mapping[str, StructureFile]
    if structures is None:
        files = {name: embedded_structure(name) for name in embedded_structures()}
    else:
        files = find_structures(structures)
    with Progress(console=Console(stderr=True), disable=not on_terminal(), transient=True) as bar:
        task = bar.add_task("preparing", total=len(files))

        def progress(done: int, total: int, tag: str) -> None:
            bar.update(task, completed=done, total=total, description=f"preparing {tag}")

        return prepare_store(files, out, read_atoms, progress=progress)


def ensure_prepared(folder: Path) -> None:
    """Prepare the embedded structures into `folder` where nothing is prepared there, and say so on stderr."""
    check_folder(folder)
    if not is_prepared(folder):
        say(f"nothing prepared in {folder}: preparing the embedded structures there first")
        say(summary(prepare_with_progress(None, folder)))
    elif not made_by_these_rules(read_manifest(folder)):
        say(f"warning: {folder} was prepared with other parameters or by another version: `prepare` makes it anew")


def summary(prepared: Prepared) -> str:
    """One line on what `prepare` did."""
    did = "prepared" if prepared.changed else "already up to date, nothing done:"
    line = f"{did} {prepared.n_structures} structures, {prepared.n_atoms} atoms, {prepared.n_origins} origins"
    if prepared.without_origins:
        line += f" ({len(prepared.without_origins)} skipped, without origins: {', '.join(prepared.without_origins)})"
    return f"{line} in {prepared.path}"
