# SPDX-License-Identifier: MIT
"""Twin of the schedules in train.c: the learning rate of a step, and when a hybrid run's next phase begins."""

import dataclasses

import numpy as np

from ttzo.device_runtime.contract import Schedule, StateRecord, TrainingRecord
from ttzo.host_tools.reference.number import real

ONE, HALF = np.float32(1), np.float32(0.5)


def power(base: np.float32, exponent: int) -> np.float32:
    """base ** exponent by squaring, in float32."""
    result = ONE
    with np.errstate(under="ignore"):
        while exponent:
            if exponent & 1:
                result = result * base
            base, exponent = base * base, exponent >> 1
    return result


def rate_factor(training: TrainingRecord, step: int) -> np.float32:
    """What the learning rate is multiplied by in the step after `step` steps: warm-up times decay."""
    done = np.float32(step) / np.float32(training.steps) if step < training.steps else ONE
    factor = ONE
    if step < training.warmup_steps:
        factor = np.float32(step + 1) / np.float32(training.warmup_steps)
    if training.schedule == Schedule.step:
        return factor * power(np.float32(training.decay_factor), step // training.decay_every)
    if training.schedule == Schedule.linear:
        return factor * (ONE - done)
    if training.schedule == Schedule.cosine:
        return factor * (HALF * (ONE + real.cos(np.array([np.pi], np.float32) * done)[0]))
    return factor


def state_after_step(state: StateRecord, training: TrainingRecord, loss: float, evaluations: int) -> StateRecord:
    """The state after a step of that loss. Hybrid training: the next phase begins when the mean loss of
    `plateau_patience` windows in a row did not fall."""
    state = dataclasses.replace(state, step=state.step + 1, evaluations=state.evaluations + evaluations)
    if state.phase + 1 >= training.n_phases:
        return state
    total, count = np.float32(state.window_sum) + np.float32(loss), state.window_count + 1
    if count < training.plateau_window:
        return dataclasses.replace(state, window_sum=float(total), window_count=count)
    mean = total / np.float32(count)
    state = dataclasses.replace(state, window_sum=0.0, window_count=0)
    if mean < np.float32(state.best_window) * (ONE - np.float32(training.plateau_tolerance)):
        return dataclasses.replace(state, best_window=float(mean), windows_without_progress=0)
    state = dataclasses.replace(state, windows_without_progress=state.windows_without_progress + 1)
    if state.windows_without_progress >= training.plateau_patience:
        return dataclasses.replace(state, phase=state.phase + 1, phase_start=state.step)
    return state
