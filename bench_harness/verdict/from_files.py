"""Verdicts on values that files hold: results.benchmarks of a record without a round being measured."""

from collections.abc import Callable
from typing import Any

from bench_harness.verdict.fixed import Measured, Source
from bench_harness.verdict.judgement import Judgement
from bench_harness.verdict.results import entry, failed_entry
from bench_harness.verdict.rule import Rule
from bench_harness.verdict.rule_choice import Choice
from bench_harness.verdict.sequential import settle
from bench_harness.verdict.sides import Key


def file_entries(
    source: Source, choice_of: Callable[[Key], Choice], judge: Callable[[Measured, Rule], Judgement]
) -> list[dict[str, Any]]:
    """Return results.benchmarks: all numbers judged, their alarms corrected for their number, then what failed."""
    choices = [choice_of(measured.key) for measured in source.measured]
    judged = [judge(measured, choice.rule) for measured, choice in zip(source.measured, choices, strict=True)]
    found = []
    for measured, choice, judgement in zip(source.measured, choices, settle(judged), strict=True):
        samples = {"a": measured.a, "b": measured.b, "confirm_a": (), "confirm_b": ()}
        of_one = entry(measured.key, choice.rule, judgement, measured.a, measured.b, samples, gate=choice.gate)
        found.append({**of_one, "paired": measured.paired, "aa": None})
    return found + [
        failed_entry(key.title, sides, gate=choice_of(key).gate, metric=key.metric)
        for key, sides in source.failures.items()
    ]


def file_certificate(source: Source, **more: Any) -> dict[str, Any]:
    """Return results.certificate: what is known of the files, and that nothing was measured here."""
    nothing = dict.fromkeys(("load", "cpu", "cores", "simd", "seed"))
    seconds = dict.fromkeys(("body_s", "startup_s", "build_s", "wall_s"), 0.0)
    return {"aa": {"numbers": 0, "alarms": 0}, **nothing, **seconds, "rounds": 0, **source.certificate, **more}
