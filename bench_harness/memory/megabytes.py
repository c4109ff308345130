"""Sizes of memory as the memory instruments spell them: in one unit, so that they compare at a glance."""


def megabytes(size_bytes: float) -> str:
    """Return a size in units of a million bytes: 132.6 MB."""
    return f"{size_bytes / 1e6:,.1f} MB"
