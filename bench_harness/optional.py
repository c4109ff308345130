"""Import heavy or optional packages where they are used, so that `bench --help` stays fast."""

import importlib
from typing import Any

from bench_harness.errors import MissingPackageError


def require(module: str, extra: str | None = None) -> Any:
    """Return `module`, or raise MissingPackageError naming the extra of bench_harness that brings it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there but broken inside: that traceback is worth seeing
        wanted = f"'bench_harness[{extra}]'" if extra else package
        raise MissingPackageError(f"{package} is not installed; try: pip install {wanted}") from error
