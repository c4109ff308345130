"""Where views may be centred: origins, grouped by the structure (tag) they lie in.

An origin is an atom's place with enough atoms around it for a view to be worth looking at. A store holds the origins
of all structures and their atoms; `python -m bench_core prepare` writes one, `open_origins` opens it.
"""

from __future__ import annotations

from os import PathLike

from bench_core.errors import StoreError
from bench_core.origins.memmap import MemmapStore
from bench_core.origins.protocol import Origin, OriginStore

__all__ = ["STORES", "MemmapStore", "Origin", "OriginStore", "open_origins"]

STORES = {"memmap": MemmapStore}
"""Store classes by the name that `open_origins` and `--store` take."""


def open_origins(path: str | PathLike[str], store: str = "memmap") -> OriginStore:
    """Open the store that `prepare` wrote at `path`.

    Raises:
        StoreError: no such kind of store, nothing prepared at `path`, or a damaged store; says what to run.
    """
    if store not in STORES:
        raise StoreError(f"no store kind {store!r}: choose one of {', '.join(STORES)}")
    return STORES[store](path)
