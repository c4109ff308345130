"""The engine that measures nothing inside: for the pipeline's hooks alone, and for profilers from outside."""

from collections.abc import Callable


class NoEngine:
    """Measure nothing."""

    def __init__(self, interval_s: float) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def content(self) -> tuple[str, bytes] | None:
        """Return nothing."""
        return None

    def freeze(self) -> Callable[[], None]:
        """Return what makes nothing."""
        return lambda: None

    def changes(self, base: str | None) -> None:
        """Return nothing."""

    def threads_content(self) -> bytes | None:
        """Return nothing."""
        return None

    def warnings(self) -> list[str]:
        """Return nothing."""
        return []
