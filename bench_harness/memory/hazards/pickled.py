"""How much of a data set travels to each worker that is started anew, without keeping a copy of it."""

import io
import pickle
import sys
import time
from dataclasses import dataclass
from typing import Any

_MAX_BYTES, _MAX_S = 8 << 30, 10.0


@dataclass(frozen=True)
class Pickled:
    """What pickling gave.

    Args:
        size_bytes: that each worker receives; shared_bytes: of tensors, which torch puts into shared memory instead.
        is_whole: whether it was measured to its end.
        problem: why it cannot be pickled.
    """

    size_bytes: int = 0
    shared_bytes: int = 0
    is_whole: bool = True
    problem: str | None = None


class _EnoughError(Exception):
    pass


class _Counter(io.RawIOBase):
    """A file that only counts."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self._deadline = time.monotonic() + _MAX_S

    def write(self, data: Any) -> int:
        self.add(len(data))
        return len(data)

    def add(self, size_bytes: int) -> None:
        self.size_bytes += size_bytes
        if self.size_bytes > _MAX_BYTES or time.monotonic() > self._deadline:
            raise _EnoughError


class _Pickler(pickle.Pickler):
    """Counts buffers of arrays where they lie, and leaves tensors out."""

    def __init__(self, file: _Counter) -> None:
        super().__init__(file, 5, buffer_callback=lambda buffer: file.add(buffer.raw().nbytes))
        torch: Any = sys.modules.get("torch")
        self._tensor = getattr(torch, "Tensor", ())
        self.shared_bytes = 0

    def persistent_id(self, value: Any) -> str | None:
        """Leave tensors out: pickling one of torch's would copy it."""
        if not isinstance(value, self._tensor):
            return None
        self.shared_bytes += value.element_size() * value.nelement()
        return "tensor"


def pickled(value: Any) -> Pickled:
    """Measure `value` as the start of a worker would pickle it."""
    file = _Counter()
    pickler = _Pickler(file)
    try:
        pickler.dump(value)
    except _EnoughError:
        return Pickled(file.size_bytes, pickler.shared_bytes, is_whole=False)
    except RuntimeError:  # locks and queues of multiprocessing can be pickled at the start of a process alone
        return Pickled(file.size_bytes, pickler.shared_bytes, is_whole=False)
    except Exception as error:
        return Pickled(problem=f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
    return Pickled(file.size_bytes, pickler.shared_bytes)
