"""Numbers as people read them, in plain ASCII: 1.09 ms, 55.8 MB, x 18,000 faster."""

_SECONDS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_BYTES = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
# Key endings that name a unit; the first that fits is used.
_ENDINGS = (("_per_s", ""), ("_bytes", "bytes"), ("_ns", "nanoseconds"), ("_s", "seconds"))


def digits(value: float, count: int = 3) -> str:
    """Return `value` with `count` significant digits, or all digits before the point: 0.0123, 12.3, 12,345."""
    if value == 0:
        return "0"
    text = f"{value:.{count}g}"
    number = float(text)
    if abs(number) >= 10**count:
        return f"{value:,.0f}"
    return text if "e" not in text or abs(number) < 1e-4 else f"{number:,.0f}"


def seconds(value: float) -> str:
    """Return a duration: 1.09 ms, 12.3 s, 5 min 20 s."""
    if abs(value) >= 120:
        minutes, rest = divmod(round(abs(value)), 60)
        return f"{'-' if value < 0 else ''}{minutes:,} min {rest} s"
    return _scaled(value, _SECONDS)


def size(value: float) -> str:
    """Return a size in decimal units: 55.8 MB."""
    return _scaled(value, _BYTES)


def scale_of(value: float, unit: str) -> tuple[float, str]:
    """Return what to divide a number of "seconds" or "bytes" by, and the name of that unit."""
    return _scale(value, _SECONDS if unit == "seconds" else _BYTES)


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    scale, name = _scale(value, units)
    return f"{digits(value / scale)} {name}"


def _scale(value: float, units: tuple[tuple[float, str], ...]) -> tuple[float, str]:
    # 0.9995 rounds to 1000 of the next smaller unit: it belongs to this one.
    return next((each for each in units if abs(value) >= 0.9995 * each[0]), units[-1])


def quantity(value: float | None, unit: str | None) -> str:
    """Return a value in asv's units: seconds and bytes are scaled, any other unit is appended."""
    if value is None:
        return "-"
    if unit == "seconds":
        return seconds(value)
    if unit == "nanoseconds":
        return seconds(value / 1e9)
    if unit == "bytes":
        return size(value)
    return digits(value) if unit in (None, "", "unit") else f"{digits(value)} {unit}"


def ratio(value: float | None, unit: str | None) -> str:
    """Return a ratio to the first value in words: 0.05 is "x 20 faster" for seconds, "x 20 smaller" for bytes."""
    if value is None or value <= 0:
        return ""
    words = {"seconds": ("faster", "slower"), "bytes": ("smaller", "larger")}.get(unit or "")
    if 0.995 < value < 1.005:
        return "x 1"
    if words is None:
        return f"x {digits(value)}"
    return f"x {digits(1 / value)} {words[0]}" if value < 1 else f"x {digits(value)} {words[1]}"


def by_key(key: str, value: object) -> str:
    """Return a value whose key ends with its unit, as workloads print them: example_s, peak_bytes, examples_per_s."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return "-" if value is None else str(value)
    unit = next((unit for ending, unit in _ENDINGS if key.endswith(ending)), "")
    return str(value) if isinstance(value, int) and not unit and abs(value) < 10_000 else quantity(value, unit)
