"""Element symbols and atomic numbers.

An own table rather than a library's, because `import bench_core` loads numpy and the C module only.
"""

from __future__ import annotations

_IN_ORDER = """
X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu
Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr
Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

SYMBOLS: tuple[str, ...] = tuple(_IN_ORDER.split())
"""Symbol of each atomic number; 0 is "X", an unknown element (as in mmCIF)."""

ATOMIC_NUMBERS: dict[str, int] = {symbol.upper(): number for number, symbol in enumerate(SYMBOLS)} | {"D": 1, "T": 1}
"""Atomic number of each upper-case symbol; deuterium and tritium count as hydrogen."""


def atomic_number(symbol: str) -> int:
    """Return the atomic number of an element symbol, in any case.

    Raises:
        KeyError: the symbol names no element.
    """
    return ATOMIC_NUMBERS[symbol.strip().upper()]
