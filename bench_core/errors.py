"""Every error that bench_core raises on purpose.

BenchCoreError
├── StructureError        a structure file that cannot be read: names the file and the line or field
├── StoreError            a prepared store that is missing, damaged or of another version
│   └── MissingOriginError    an origin id outside the store, or a structure without valid pairs
├── VoxelError            (also a ValueError) input that cannot be voxelized: names the atom or the argument
├── ModelError            (also a ValueError) a model that cannot be built: names the layer, option or package
├── LoaderError           a DataLoader that stopped early: names the worker and its exit code
├── RunError              a training run, its options or its data that cannot be used: says which and why
│   └── CheckpointError       a checkpoint that is damaged, foreign or belongs to another run or architecture
├── DivergenceError       training ended because the loss is no number
└── StoppedError          training was asked to stop by a signal, and did after writing a checkpoint
"""


class BenchCoreError(Exception):
    """Base of all errors raised by bench_core.

    `exit_code` is what `python -m bench_core` exits with when the error reaches the user.
    """

    exit_code = 2


class StructureError(BenchCoreError):
    """A structure file is truncated, empty, of a wrong format or holds non-finite numbers."""


class StoreError(BenchCoreError):
    """A prepared store is missing, damaged or was written by an incompatible version."""


class MissingOriginError(StoreError):
    """No origin answers the request: an id outside the store, or no structure with a valid pair."""


class VoxelError(BenchCoreError, ValueError):
    """Atoms, grid or image cannot be voxelized; raised before anything is written."""


class ModelError(BenchCoreError, ValueError):
    """A layer that does not fit, an override that a table does not bear, an unknown name or a missing package."""


class LoaderError(BenchCoreError):
    """A DataLoader worker died or could not be started."""

    exit_code = 3


class RunError(BenchCoreError):
    """A training run cannot start: an option, a registry entry or the data do not fit."""


class CheckpointError(RunError):
    """A checkpoint is damaged, foreign, or belongs to another run, architecture or data."""


class DivergenceError(BenchCoreError):
    """The loss became infinite or NaN."""

    exit_code = 3


class StoppedError(BenchCoreError):
    """A signal asked training to stop; `exit_code` is 128 + its number."""
