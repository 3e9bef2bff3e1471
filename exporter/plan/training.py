# SPDX-License-Identifier: MIT
"""The training schedule of the plan: estimators, update rules and their numbers."""

from dataclasses import dataclass

from ttzo.device_runtime.contract import Difference, Direction, Estimator, Schedule, Update

BY_UNITS = frozenset({Estimator.node_cge, Estimator.chain_differences})  # parameters' derivatives are made of units'
REUSING = frozenset({Estimator.cge, Estimator.block_rge, Estimator.cocd}) | BY_UNITS
GAUSS_NEWTON = frozenset(
    {Estimator.subspace_gn, Estimator.last_layer_gn, Estimator.coordinate_gn, Estimator.frozen_features}
)


def moments_of_update(update: Update) -> int:
    """Numbers an update rule remembers for each parameter."""
    return {Update.momentum: 1, Update.ema_momentum: 1, Update.adam: 2}.get(update, 0)


@dataclass(frozen=True)
class Phase:
    """One estimator with one update rule. What `ttzo train` may change: numbers other than Gauss-Newton's
    `n_queries`; the rest costs memory or order and is fixed at export."""

    estimator: Estimator = Estimator.rge
    direction: Direction = Direction.rademacher
    difference: Difference = Difference.one_sided
    update: Update = Update.momentum
    n_queries: int = 16
    perturb_radius: float = 1e-3
    learning_rate: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    clip_norm: float = 0.0
    n_coordinates: int = 256
    stale_decay: float = 0.999
    ridge: float = 1e-2
    trust_radius: float = 0.3

    @classmethod
    def of_simulation(cls, step: float = 0.01) -> "Phase":
        """The phase that fits a simulation; `step`: difference in theta by which derivatives are made."""
        return cls(
            estimator=Estimator.simulation_gn,
            update=Update.sgd,
            n_queries=1,
            perturb_radius=step,
            learning_rate=1.0,
            trust_radius=1.0,
        )

    @property
    def is_gauss_newton(self) -> bool:
        return self.estimator in GAUSS_NEWTON

    @property
    def n_moments_per_parameter(self) -> int:
        return moments_of_update(self.update) + (self.estimator == Estimator.cocd)


@dataclass(frozen=True)
class Training:
    """The schedule. Two phases make `hybrid`: the second begins when the loss stands still for
    `plateau_patience` windows of `plateau_window` steps."""

    phases: tuple[Phase, ...] = (Phase(),)
    seed: int = 0
    steps: int = 1000
    schedule: Schedule = Schedule.constant
    warmup_steps: int = 0
    decay_every: int = 1
    decay_factor: float = 1.0
    plateau_window: int = 50
    plateau_patience: int = 3
    plateau_tolerance: float = 0.01
