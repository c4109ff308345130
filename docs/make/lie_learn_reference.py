"""Write tests/bench_core/golden/lie_learn_wigner.npz: Wigner D matrices of lie_learn itself.

    python3.11 -m venv lie && lie/bin/pip install "numpy<2" scipy lie_learn==0.0.2
    lie/bin/python docs/make/lie_learn_reference.py

lie_learn 0.0.2 has wheels for Linux on x86-64 and Python 3.9 to 3.12 only, and cannot be imported beside NumPy 2.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from lie_learn.representations.SO3.wigner_d import wigner_D_matrix

FILE = Path(__file__).parents[2] / "tests" / "bench_core" / "golden" / "lie_learn_wigner.npz"
MAX_DEGREE = 8


def main() -> None:
    special = [(0, 0, 0), (0.3, 0, 0), (0, 0.3, 0), (0.3, np.pi, 0.2), (np.pi / 2, np.pi / 2, np.pi / 2)]
    angles = np.concatenate([special, np.random.RandomState(0).uniform(-np.pi, 2 * np.pi, (4, 3))])
    matrices = {
        f"degree_{degree}": np.stack([wigner_D_matrix(degree, *rotation) for rotation in angles])
        for degree in range(MAX_DEGREE + 1)
    }
    np.savez_compressed(FILE, angles=angles, **matrices)


if __name__ == "__main__":
    main()
