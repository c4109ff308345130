"""SciPy in a pool of concurrent.futures: a pendulum's period over its amplitude, one integration per process and time.

    python examples/futures.py --processes 2

Needs SciPy and NumPy.
"""

import argparse
import math
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import ellipk


def pendulum(t, state):
    """Return the derivatives of angle and velocity, in units of the small pendulum's period over 2 pi."""
    angle, velocity = state
    return velocity, -math.sin(angle)


def at_rest(t, state):
    """Say where the velocity changes its sign."""
    return state[1]


at_rest.direction = 1


def period(amplitude):
    """Return the time between two turning points on the same side."""
    found = solve_ivp(pendulum, (0, 60), (-amplitude, 0.0), events=at_rest, rtol=1e-9, atol=1e-9)
    return float(np.diff(found.t_events[0]).mean())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--amplitudes", type=int, default=24)
    arguments = parser.parse_args()
    amplitudes = np.linspace(0.1, 2.5, arguments.amplitudes)
    with ProcessPoolExecutor(arguments.processes) as executor:
        periods = np.array(list(executor.map(period, amplitudes.tolist())))
    exact = 4 * ellipk(np.sin(amplitudes / 2) ** 2)
    print(f"{len(periods)} periods, largest error {np.abs(periods / exact - 1).max():.1e}")


if __name__ == "__main__":
    main()
