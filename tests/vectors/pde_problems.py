# SPDX-License-Identifier: MIT
"""Equations with slips, each a function: what a person may write. tests/equations/test_slips.py has the right answers."""

import math

import numpy as np
import torch

from ttzo import pde


def net(i=2, o=1):
    return torch.nn.Sequential(torch.nn.Linear(i, 8), torch.nn.Tanh(), torch.nn.Linear(8, o))


def P(**k):
    a = dict(
        space=[(0.0, 1.0)],
        time=(0.0, 1.0),
        residual=lambda p: p.u_t - p.lap,
        conditions=[pde.at_start(lambda p: p.u - pde.sin(math.pi * p.x[0])), pde.on_faces(lambda p: p.u)],
    )
    a.update(k)
    return pde.Problem(**a)


def opt(p, **k):
    return {"problem": p, "estimator": "subspace_gn", "n_queries": 8, "steps": 5, **k}


def ok():
    return net(), opt(P())


def u_x():
    return net(), opt(P(residual=lambda p: p.u_t - p.u_x))


def u_xy():
    return net(3), opt(P(space=[(0, 1), (0, 1)], residual=lambda p: p.u_t - p.u_xy))


def mixed():
    return net(3), opt(P(space=[(0, 1), (0, 1)], residual=lambda p: p.u_t - p.grad[0].grad[1]))


def torchsin():
    return net(), opt(P(residual=lambda p: p.u_t - torch.sin(p.x[0])))


def npsin():
    return net(), opt(P(residual=lambda p: p.u_t - np.sin(p.x[0])))


def npconst():
    k = np.sqrt(2.0)
    return net(), opt(P(residual=lambda p: p.u_t - k * p.lap))


def npconst_right():
    k = np.sqrt(2.0)
    return net(), opt(P(residual=lambda p: p.u_t - p.lap * k))


def npexp():
    return net(), opt(P(residual=lambda p: p.u_t - p.u ** np.int64(3)))


def rpow():
    return net(), opt(P(residual=lambda p: p.u_t - 2 ** p.x[0]))


def spacetuple():
    return net(), opt(P(space=(0, 1)))


def space3():
    return net(), opt(P(space=[(0, 1, 2)]))


def spacerev():
    return net(), opt(P(space=[(1, 0)]))


def spaceinf():
    return net(), opt(P(space=[(0, float("inf"))]))


def spacenan():
    return net(), opt(P(space=[(0, float("nan"))]))


def spaceempty():
    return net(1), opt(P(space=[], residual=lambda p: p.u_t - p.u, conditions=[pde.at_start(lambda p: p.u - 1)]))


def timezero():
    return net(), opt(P(time=(0, 0)))


def timescalar():
    return net(), opt(P(time=1.0))


def condsingle():
    return net(), opt(P(conditions=pde.on_faces(lambda p: p.u)))


def condlambda():
    return net(), opt(P(conditions=[lambda p: p.u]))


def condrows0():
    return net(), opt(P(conditions=[pde.on_faces(lambda p: p.u, rows=0)]))


def condrowsf():
    return net(), opt(P(conditions=[pde.on_faces(lambda p: p.u, rows=2.5)]))


def condweightneg():
    return net(), opt(P(conditions=[pde.on_faces(lambda p: p.u, weight=-1)]))


def rowsf():
    return net(), opt(P(rows=10.5))


def rows0():
    return net(), opt(P(rows=0))


def notime():
    return net(1), opt(P(time=None, residual=lambda p: p.lap + 1, conditions=[pde.on_faces(lambda p: p.u)]))


def notime_ut():
    return net(1), opt(P(time=None, residual=lambda p: p.u_t - p.lap, conditions=[pde.on_faces(lambda p: p.u)]))


def notime_start():
    return net(1), opt(P(time=None, residual=lambda p: p.lap + 1, conditions=[pde.at_start(lambda p: p.u)]))


def system():
    return net(2, 2), opt(P(residual=lambda p: [p.u_t, p.u]))


def twoout():
    return net(2, 2), opt(P())


def zero():
    return net(), opt(P(residual=lambda p: 0.0))


def none():
    return net(), opt(P(residual=lambda p: None))


def noreturn():
    def r(p):
        p.u_t - p.lap

    return net(), opt(P(residual=r))


def nonet():
    return net(), opt(P(residual=lambda p: p.x[0] - p.t))


def chain():
    return net(), opt(P(residual=lambda p: p.u_t - pde.where(0 < p.x[0] < 1, 1, 0)))


def ifexpr():
    return net(), opt(P(residual=lambda p: p.u_t - (1 if p.x[0] < 0.5 else 0)))


def andexpr():
    return net(), opt(P(residual=lambda p: p.u_t - pde.where((p.x[0] < 0.5) & (p.t < 0.5), 1, 0)))


def vec():
    return net(3), opt(P(space=[(0, 1), (0, 1)], residual=lambda p: p.u_t - p.second))


def idx():
    return net(), opt(P(residual=lambda p: p.u_t - p.second[1]))


def slicex():
    return net(3), opt(P(space=[(0, 1), (0, 1)], residual=lambda p: p.u_t - pde.sum(p.x[0:1])))


def lognan():
    return net(), opt(P(residual=lambda p: p.u_t - pde.log(-1.0 - p.u * p.u)))


def exactnan():
    return net(), opt(P(exact=lambda x, t: pde.log(-x[0])))


def exactnp():
    return net(), opt(P(exact=lambda x, t: np.sin(x[0])))


def exact2():
    return net(), opt(P(exact=lambda x: pde.sin(x[0])))


def inverse():
    lam = torch.nn.Parameter(torch.tensor(1.0))
    return net(), opt(P(residual=lambda p: p.u_t - lam * p.lap))


def third():
    return net(), opt(P(residual=lambda p: p.u_t + p.grad[0] * p.u + p.second[0].grad[0]))


def biharm():
    return net(), opt(P(residual=lambda p: p.u_tt + p.lap.lap))


def huge():
    return net(), opt(P(residual=lambda p: p.u_t - 1e39 * p.lap))


def tiny():
    return net(), opt(P(residual=lambda p: p.u_t - 1e-46 * p.lap))


def inp3():
    return net(3), opt(P())


def conv():
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, 1, 2)), torch.nn.Conv2d(1, 1, 1), torch.nn.Flatten(), torch.nn.Linear(2, 1)
    ), opt(P())


def relu():
    return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)), opt(P())


def sqrt_t():
    return net(), opt(P(solution=lambda n, x, t: pde.sqrt(t) * n + pde.sin(math.pi * x[0])))


def one_over_t():
    return net(), opt(P(conditions=[pde.at_start(lambda p: p.u_t / p.t)]))


def kwarg():
    return net(), opt(pde.Problem(space=[(0, 1)], residual=lambda p: p.lap, initial=lambda p: p.u))


def raises():
    return net(), opt(P(residual=lambda p: {}["k"]))


def solbad():
    return net(), opt(P(solution=lambda n, x: n))


def solvec():
    return net(3), opt(P(space=[(0, 1), (0, 1)], solution=lambda n, x, t: n * x))


def pointsbad():
    return net(), opt(P(points=lambda x, t: (2 * x, t)))


def pointsraise():
    return net(), opt(P(points=lambda x: x))


def faces_neumann():
    return net(), opt(P(conditions=[pde.on_faces(lambda p: p.grad[0])]))


def bigscale():
    return net(), opt(P(space=[(0, 1e6)], time=(0, 1e9)))


def deep():
    def r(p):
        e = p.u
        for _ in range(2000):
            e = e + pde.sin(e)
        return e

    return net(), opt(P(residual=r))


def strproblem():
    return net(), {"problem": "heat"}


def exact_over_t():
    return net(), opt(P(exact=lambda x, t: pde.sin(x[0] * t) / t))


def exact_some():
    return net(), opt(P(exact=lambda x, t: pde.log(x[0] - 0.5)))


def pt_notime():
    return net(1), opt(P(time=None, residual=lambda p: p.lap + 10 * p.t, conditions=[pde.on_faces(lambda p: p.u)]))


def utt_notime():
    return net(1), opt(P(time=None, residual=lambda p: p.u_tt - p.lap, conditions=[pde.on_faces(lambda p: p.u - 1)]))


def pow65():
    return net(), opt(P(space=[(-1, 1)], residual=lambda p: p.u_t - p.lap - p.x[0] ** 65))


def negbase():
    return net(), opt(P(space=[(-1, 1)], residual=lambda p: p.u_t - p.lap - p.x[0] ** 1.5))
