"""The cells of every report, from a row of the record: values, ratio, rule, noise, and names made harmless."""

from collections.abc import Iterable, Mapping
from typing import Any

from bench_harness.report.units import digits, quantity

Row = Mapping[str, Any]
UNITS = {"s": "seconds", "ns": "nanoseconds", "B": "bytes"}
# Marks that change the direction of the text around them, and separators of lines that are not \n.
_UNSEEN = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x2028, 0x2029, 0xFEFF, 0xFFFE, 0xFFFF}
NAME_LETTERS = 120


def clean(text: object, limit: int = NAME_LETTERS) -> str:
    """Return a text as one line of at most `limit` letters, without controls, surrogates and marks of direction."""
    line = "".join(_seen(letter) for letter in str(text)).strip() or "-"
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def _seen(letter: str) -> str:
    if letter in "\t\n\r":
        return " "
    number = ord(letter)
    control = number < 0x20 or 0x7F <= number < 0xA0 or 0xD800 <= number < 0xE000
    return "\ufffd" if control or number in _UNSEEN else letter


def value(row: Row, side: str) -> str:
    """Return base or head with its unit: 1.09 ms; a dash where there is none."""
    number = row[side]
    return "-" if number is None else clean(quantity(number, UNITS.get(row["unit"], row["unit"])), 40)


def ratio(row: Row) -> str:
    """Return the ratio with its interval: x 1.10 (1.08 to 1.12)."""
    if row["ratio"] is None:
        return "-"
    text = f"x {row['ratio']:.3f}" if row["ratio"] < 10 else f"x {digits(row['ratio'])}"
    if row["ci"] is None:
        return text
    low, high = row["ci"]
    return f"{text} ({low:.3f} to {high:.3f})"


def interval_source(row: Row) -> str:
    """Return what the interval is: 90 % from rounds."""
    if row["ci"] is None or row["confidence"] is None:
        return "no interval"
    return f"{100 * row['confidence']:.3g} % interval from {row['ci_from']}"


def noise(row: Row) -> str:
    """Return the noise history: sd 1.2 % over 12 changes."""
    found = row["noise"]
    if found is None:
        return "-"
    if found["exact"]:
        return f"exact over {found['changes'] + 1} commits"
    return f"sd {digits(100 * found['sd_log'], 2)} % ({found['changes']} changes)"


def rule(row: Row) -> str:
    """Return the threshold in short: 5 %, reported only."""
    gate = "" if row["rule"]["gate"] else ", reported only"
    which = f" (rule {row['rule']['number']})" if row["rule"]["number"] else ""
    return f"{100 * row['rule']['effect']:.3g} %{which}{gate}"


def verdict(row: Row) -> str:
    """Return the verdict as shown: regression, or regression (accepted)."""
    return f"{row['verdict']} (accepted)" if row["acknowledged"] else str(row["verdict"])


def name(row: Row) -> str:
    """Return the benchmark with its parameters, and the environment where there are several."""
    where = f" [{row['environment']}]" if row["environment"] else ""
    return clean(f"{row['label']}{where}")


def effort(row: Row) -> str:
    """Return what was measured: 12 rounds, 48 samples, 3.2 s."""
    parts = [
        f"{row['rounds']} rounds" if row["rounds"] else "",
        f"{row['samples']} samples" if row["samples"] else "",
        f"{row['seconds']:.3g} s" if row["seconds"] else "",
    ]
    return ", ".join(part for part in parts if part) or "unknown"


def machines(row: Row) -> str:
    """Return where it was measured: one machine, or both with a warning."""
    names = [clean(name, 60) for side in ("base", "head") if (name := row["machines"].get(side))]
    if len(set(names)) > 1:
        return f"DIFFERENT MACHINES: base on {names[0]}, head on {names[1]}"
    return names[0] if names else "unknown"


def needs_attention(row: Row) -> bool:
    """Tell whether a row is more than a good or unchanged value."""
    return row["verdict"] not in ("fine", "improvement")


def headline(numbers: Mapping[str, int]) -> str:
    """Return the counts in words: 1 regression, 20 fine."""
    plural = {"regression": "regressions", "improvement": "improvements"}
    words = (f"{count:,} {plural.get(word, word) if count > 1 else word}" for word, count in numbers.items())
    return ", ".join(words) or "nothing measured"


def sides(results: Mapping[str, Any]) -> str:
    """Return what is compared: base 0123456789ab (main), head ..."""
    return ", ".join(f"{side} {_side(results[side])}" for side in ("base", "head"))


def _side(side: Mapping[str, Any]) -> str:
    label, commit = side["label"], side["commit"][:12]
    return commit if side["commit"].startswith(label) else f"{commit} ({clean(label, 60)})"


def runner(environment: Mapping[str, Any]) -> str:
    """Return the machine that ran the command, with its processor and its load."""
    cpu = (environment.get("cpu") or {}).get("model")
    load = environment.get("load") or {}
    parts = [str(environment.get("machine")), str(cpu or "")]
    parts += [f"load {' '.join(str(number) for number in load.values())}"] if load else []
    return clean(", ".join(part for part in parts if part), 200)


def one_line(row: Row) -> str:
    """Return a row as a sentence: name metric: 1 ms -> 1.1 ms, x 1.10 (...), regression: why."""
    values = f"{value(row, 'base')} -> {value(row, 'head')}, {ratio(row)}"
    return f"{name(row)} {clean(row['metric'], 40)}: {values}: {verdict(row)}: {clean(row['words'], 300)}"


def facts(row: Row) -> Iterable[tuple[str, str]]:
    """Yield what is known of a row beside its table cells: (what, text)."""
    yield "why", clean(row["words"] or "-", 300)
    yield "rule", clean(row["rule"]["text"], 200)
    yield "noise history", noise(row)
    yield "interval", interval_source(row)
    yield "measured", f"{effort(row)}, by {row['source']}"
    yield "machine", machines(row) + (f", load {clean(row['load'], 100)}" if row["load"] else "")
    if row["acknowledged"]:
        accepted = row["acknowledged"]
        yield "accepted by", clean(f"{accepted['commit'][:12]}: {accepted['text']}", 200)
