"""Every error that bench_harness raises on purpose, and what `bench` exits with.

HarnessError                   exit 2
├── UsageError                 exit 2   flags or folders that do not fit together
├── ConfigError                exit 2   pyproject.toml or asv.conf.json: names the file and the key
├── RecordError                exit 2   a record.json that cannot be read or written: names the file and the field
├── MissingPackageError        exit 2   an optional package is absent: names what to install
└── CouldNotMeasureError       exit 3   the measurement itself failed
    ├── NothingMeasuredError   exit 3   there was nothing to measure or to report
    └── AttributionError       exit 3   the copied pages cannot be attributed: why, in one line

A regression (exit 1) and an undecided verdict (exit 4) are results, not errors: commands return them as an `ExitCode`.
"""

import enum


class ExitCode(enum.IntEnum):
    """What `bench` exits with. "Measured nothing" is never FINE and never REGRESSION."""

    FINE = 0
    REGRESSION = 1
    USAGE = 2
    NOT_MEASURED = 3
    UNDECIDED = 4


class HarnessError(Exception):
    """Base of all errors raised by bench_harness; the message is one line that says what to try."""

    exit_code = ExitCode.USAGE


class UsageError(HarnessError):
    """Arguments or folders do not fit together."""


class ConfigError(HarnessError):
    """A configuration file is missing, malformed or holds an unknown key."""


class RecordError(HarnessError):
    """A record cannot be read or written."""


class MissingPackageError(HarnessError):
    """An optional package is needed for what was asked and is not installed."""


class CouldNotMeasureError(HarnessError):
    """The measurement failed: no number may be concluded from it."""

    exit_code = ExitCode.NOT_MEASURED


class NothingMeasuredError(CouldNotMeasureError):
    """No measurement was found where one was expected."""


class AttributionError(CouldNotMeasureError):
    """Copied pages cannot be attributed to objects here, or not now; the message is the reason."""
