# SPDX-License-Identifier: MIT
"""Equations of textbooks, each a function that `ttzo export docs/equations/textbook.py:NAME -o DIR` takes with no other option.

`measure.py` trains all of them and writes docs/results/equations.md.
"""

import math

import numpy as np
import torch

from ttzo import pde


def network(inputs: int, outputs: int = 1, width: int = 32, centre: float = 0.5, seed: int = 0) -> torch.nn.Sequential:
    """One hidden layer of tanh, its units twice as steep as torch makes them and bent inside the domain around `centre`."""
    torch.manual_seed(seed)
    first = torch.nn.Linear(inputs, width)
    with torch.no_grad():
        first.weight.mul_(2.0)
        first.bias.mul_(2.0).sub_(centre * first.weight.sum(1))
    return torch.nn.Sequential(first, torch.nn.Tanh(), torch.nn.Linear(width, outputs))


# ---- Helmholtz: lap u + 16 u = f on the unit square, u = sin(pi x) sin(pi y) -----------------------------------------


def wave(x):
    return pde.sin(math.pi * x[0]) * pde.sin(math.pi * x[1])


def helmholtz_residual(p):
    return p.lap + 16.0 * p.u - (16.0 - 2 * math.pi**2) * wave(p.x)


def helmholtz(seed=0):
    """Hard walls: the solution is 0 there whatever the network says."""
    problem = pde.Problem(
        space=[(0, 1)] * 2,
        residual=helmholtz_residual,
        solution=lambda n, x, t: x[0] * (1 - x[0]) * x[1] * (1 - x[1]) * n,
        exact=lambda x, t: wave(x),
    )
    return network(2, seed=seed), {"problem": problem}


def helmholtz_soft(seed=0):
    """Soft walls: rows of the loss."""
    problem = pde.Problem(
        space=[(0, 1)] * 2,
        residual=helmholtz_residual,
        conditions=[pde.on_faces(lambda p: p.u, weight=40.0, rows=40)],
        exact=lambda x, t: wave(x),
    )
    return network(2, seed=seed), {"problem": problem}


# ---- Poisson with walls that nothing passes --------------------------------------------------------------------------


def poisson_neumann(seed=0):
    """lap u = -2 pi^2 cos(pi x) cos(pi y) with a normal derivative of 0; one reading says which constant."""

    def exact(x, t=0.0):
        return pde.cos(math.pi * x[0]) * pde.cos(math.pi * x[1])

    problem = pde.Problem(
        space=[(0, 1)] * 2,
        residual=lambda p: p.lap + 2 * math.pi**2 * exact(p.x),
        conditions=[pde.on_faces(lambda p: p.u_n, rows=40), pde.at_readings([(0.5, 0.5, 0.0)], weight=100.0)],
        exact=exact,
    )
    return network(2, seed=seed), {"problem": problem}


# ---- the sine-Gordon equation's kink ---------------------------------------------------------------------------------

SPEED = 0.5
STEEP = 1 / math.sqrt(1 - SPEED**2)


def kink(x, t):
    return 4.0 * pde.atan(pde.exp(STEEP * (x[0] - SPEED * t)))


def kink_in_time(x):
    """du/dt at the start."""
    return -2.0 * STEEP * SPEED / pde.cosh(STEEP * x[0])


def sine_gordon(seed=0):
    """u_tt = u_xx - sin u: a kink that moves at half the speed of light."""
    problem = pde.Problem(
        space=[(-3, 3)],
        time=(0, 2),
        residual=lambda p: p.u_tt - p.lap + pde.sin(p.u),
        conditions=[
            pde.at_start(lambda p: [p.u - kink(p.x, 0.0), p.u_t - kink_in_time(p.x)], weight=5.0),
            pde.on_faces(lambda p: p.u - kink(p.x, p.t), weight=5.0),
        ],
        exact=kink,
    )
    return network(2, centre=0.0, seed=seed), {"problem": problem}


# ---- FitzHugh-Nagumo: a nerve's voltage v and recovery w -------------------------------------------------------------


def nerve(v, w):
    """dv/dt and dw/dt."""
    return v - v**3 / 3.0 - w + 0.5, 0.08 * (v + 0.7 - 0.8 * w)


def fitzhugh_nagumo(seed=0):
    """A system of two ordinary differential equations, from v = -1 and w = -0.5. Early times count more; else the loss falls
    where v jumps to the unstable equilibrium and stays, which solves the equations everywhere except in the jump."""

    def residual(p):
        v_t, w_t = nerve(p.v, p.w)
        early = pde.exp(-0.5 * p.x[0])
        return [early * (p.d(p.v, 0) - v_t), early * (p.d(p.w, 0) - w_t)]

    problem = pde.Problem(
        space=[(0, 10)],
        fields=["v", "w"],
        residual=residual,
        solution=lambda n, x, t: (-1.0 + x[0] * n[0], -0.5 + x[0] * n[1]),
    )
    scaled = {"input_scale": 0.2, "input_offset": -1.0}  # the network sees -1 to 1
    return network(1, 2, centre=0.0, seed=seed), {"problem": problem} | scaled


def fitzhugh_nagumo_reference(points):
    """v and w at times (n, 1), by Runge-Kutta."""
    from scipy.integrate import solve_ivp

    found = solve_ivp(lambda _, y: nerve(*y), (0, 10), (-1.0, -0.5), dense_output=True, rtol=1e-10, atol=1e-10)
    return found.sol(points[:, 0]).T


# ---- an unknown diffusivity from readings ----------------------------------------------------------------------------

DIFFUSIVITY = 0.1


def cooling(x, t):
    return pde.exp(-DIFFUSIVITY * math.pi**2 * t) * pde.sin(math.pi * x[0])


def diffusivity(seed=0):
    """u_t = k u_xx, k unknown: 50 readings with noise of 0.01 at random places and times. The search starts at 0.3."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(0, 1, (50, 2))
    noisy = cooling(points[:, :1].T, points[:, 1]) + 0.01 * rng.normal(size=50)
    problem = pde.Problem(
        space=[(0, 1)],
        time=(0, 1),
        residual=lambda p: p.u_t - p.k * p.lap,
        unknowns={"k": 0.3},
        conditions=[
            pde.on_faces(lambda p: p.u),
            pde.at_start(lambda p: p.u - pde.sin(math.pi * p.x[0])),
            pde.at_readings(np.c_[points, noisy], weight=10.0),
        ],
        exact=cooling,
    )
    return network(2, seed=seed), {"problem": problem}
