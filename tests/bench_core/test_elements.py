"""The element table against gemmi's."""

from __future__ import annotations

import gemmi
import pytest

from bench_core.elements import ATOMIC_NUMBERS, SYMBOLS, atomic_number


def test_every_symbol_has_its_number() -> None:
    for number, symbol in enumerate(SYMBOLS):
        assert gemmi.Element(symbol).atomic_number == number
    assert len(SYMBOLS) == 119


@pytest.mark.parametrize(("symbol", "number"), [("C", 6), ("SE", 34), ("se", 34), (" Zn", 30), ("D", 1), ("X", 0)])
def test_symbols_in_any_case(symbol: str, number: int) -> None:
    assert atomic_number(symbol) == number


def test_unknown_symbols() -> None:
    with pytest.raises(KeyError):
        atomic_number("Qq")
    assert "QQ" not in ATOMIC_NUMBERS
