"""Take the census of this process: whose objects lie on which pages. For the throw-away child alone.

In this order, the first to reach an object owns it, and the nearest of equals:

1. the parts of the roots, such as dataset.records: what workers are started with
2. the variables of the user's running functions and modules: what their code may reach besides
3. modules, by package, and whatever else is alive: the background, which any worker has

Up to 3, classes, modules and the variables of modules are barred: every object leads to them, and by them to all.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench_harness.memory.attribution import census_file
from bench_harness.memory.attribution.owners import (
    everything_else,
    module_dict,
    modules,
    named_parts,
    type_name,
    user_variables,
)
from bench_harness.memory.attribution.payloads import payload_functions
from bench_harness.memory.attribution.walking import Walker, make_walker

REST = "held by no module"


def take_census(folder: Path, roots: Mapping[str, Any]) -> None:
    """Walk all objects alive, and write the files of a census to `folder`.

    Args:
        folder: to write to.
        roots: what is to be named first, by name.

    Raises:
        OSError: the files cannot be written.
        MemoryError: there is too little memory.
    """
    started_s = time.perf_counter()
    walker, name = make_walker(payload_functions())
    owners: list[tuple[str, bool]] = []
    barred = [module_dict(module) for module in modules().values()]
    walker.bar([sys.modules, *barred])
    _walk(walker, owners, named_parts(roots))
    _walk(walker, owners, named_parts(user_variables(sys._getframe())))
    walker.open()
    _walk(walker, owners, [(f"module {name.partition('.')[0]}", module) for name, module in modules().items()], True)
    one_in = getattr(walker, "one_in", 1)
    if one_in == 1:  # else it would find what the sample left out, and take it for background
        _walk(walker, owners, [(REST, value) for value in everything_else()], True)
    labels = [(owner, type_name(kind)) for owner, kind in walker.labels()]
    seconds = round(time.perf_counter() - started_s, 3)
    census = census_file.Census(owners, labels, name, one_in, walker.objects, walker.failures, seconds)
    census_file.write(folder, census, walker.records())


def _walk(
    walker: Walker, owners: list[tuple[str, bool]], named: list[tuple[str, Any]], background: bool = False
) -> None:
    """Walk from objects with the names of their owners."""
    numbers: dict[str, int] = {}
    for name, _ in named:
        numbers.setdefault(name, len(owners) + len(numbers))
    owners.extend((name, background) for name in numbers)
    walker.walk([numbers[name] for name, _ in named], [value for _, value in named])
