"""How often a target logged something, from the calls of known logging functions."""

import re
from collections.abc import Iterable

from bench_harness.profiles.statistics import Function, Profile

# Where a function that logs is defined, and its name. One that another of them calls is not counted again.
_KNOWN = (
    (re.compile(r"/(?:tensorboard/writer|tensorboardX/writer)\.py$"), re.compile(r"add_(?!event$|summary$|onnx_)\w+")),
    (re.compile(r"/wandb/sdk/wandb_run\.py$"), re.compile(r"log")),
    (re.compile(r"/mlflow/tracking/(?:fluent|client)\.py$"), re.compile(r"log_(?:metrics?|batch|figure|image|text)")),
    (
        re.compile(r"/(?:lightning(?:_fabric)?|pytorch_lightning)/(?:\w+/)*loggers/\w+\.py$"),
        re.compile(r"log_(?:metrics|table|text|image)"),
    ),
)


def count_log_events(profiles: Iterable[Profile], configured: Iterable[str] = ()) -> int:
    """Return how many calls of logging functions there were.

    Args:
        profiles: of the processes of a run.
        configured: further functions, as module/file.py:function.
    """
    own = tuple(_configured(each) for each in configured)
    return sum(_count(profile, own) for profile in profiles)


def _count(profile: Profile, own: tuple[tuple[str, str], ...]) -> int:
    total = 0.0
    for function, entry in profile.items():
        if _logs(function, own):
            nested = sum(times[0] for caller, times in entry.callers.items() if _logs(caller, own))
            total += entry.times[1] - nested
    return int(total)


def _logs(function: Function, own: tuple[tuple[str, str], ...]) -> bool:
    file, _, name = function
    return any(where.search(file) and what.fullmatch(name) for where, what in _KNOWN) or any(
        f"/{file}".endswith(where) and name == what for where, what in own
    )


def _configured(text: str) -> tuple[str, str]:
    file, _, name = text.rpartition(":")
    return f"/{file.lstrip('./')}", name
