# SPDX-License-Identifier: MIT
"""Which rows are measured, and how many of them: serial lines are slow."""

import numpy as np

from ttzo.device_runtime.contract import DeviceError, Loss, Schedule
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Training
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import Device, Evaluation, OnProgress
from ttzo.host_tools.reference.number.random import sample_rows
from ttzo.host_tools.training import answers, detector
from ttzo.host_tools.training.answers import Answers
from ttzo.host_tools.training.guard import WINDOW, Guard

QUICK = ("native", "numpy", "onnx")  # devices on this machine
QUICK_ROWS = 1000
SERIAL_ROWS_BYTES = 64 << 10  # of test rows for one measurement over a serial line
FEWEST_ROWS = 100


def default_test_rows(device: Device, data: DataSet) -> int:
    """How many test rows a measurement takes when nobody says: serial lines are slow."""
    n = len(data.x_test)
    return n if data.anomalous is not None and device.url in QUICK else min(most_rows(device), n)


def most_rows(device: Device) -> int:
    return (
        QUICK_ROWS
        if device.url.partition(":")[0] in QUICK
        else max(FEWEST_ROWS, SERIAL_ROWS_BYTES // device.plan.row_bytes)
    )


def subset(n: int, n_rows: int) -> np.ndarray:
    """Numbers of the first `n_rows` of n rows in the sample order of seed 0, ascending: the same ones every time."""
    return np.sort(sample_rows(0, np.arange(min(n_rows, n)), n))


def test_subset(data: DataSet, n_rows: int) -> np.ndarray:
    """So many of the test rows, packed."""
    return data.test_rows[subset(len(data.x_test), n_rows)]


def measure_answers(
    device: Device, data: DataSet, n_rows: int, on_progress: OnProgress | None = None
) -> tuple[Evaluation, Answers | None]:
    """So many of the test rows, measured on the device, and what its answers are worth."""
    chosen = subset(len(data.x_test), n_rows)
    test = device.evaluate(data.test_rows[chosen], on_progress, with_outputs=device.plan.pde is None)
    if test.outputs is None:
        return test, None
    if data.anomalous is not None:
        of_good = _errors_of_good_rows(device, data, on_progress)
        found = detector.errors(test.outputs, data.y_test[chosen])
        return test, answers.of_errors(device.plan, of_good, found, data.anomalous[chosen])
    return test, answers.judge(device.plan, data, test.outputs, data.y_test[chosen])


def _errors_of_good_rows(device: Device, data: DataSet, on_progress: OnProgress | None) -> np.ndarray:
    """Of validation rows, or of training rows where there are none; without both of no row, whose error is 0."""
    rows, inputs = (data.validation_rows, data.y_validation) if data.n_validation else (data.train_rows, data.y_train)
    if inputs is None or not len(rows):
        return np.zeros(1)
    chosen = subset(len(rows), most_rows(device))
    outputs = device.evaluate(rows[chosen], on_progress, with_outputs=True).outputs
    return detector.errors(np.asarray(outputs), inputs[chosen])


def best_constant_loss(data: DataSet, plan: Plan, y: np.ndarray | None = None) -> float | None:
    """The mean loss of the best constant answer to the training rows (huber: of the mean), on these rows or on those with
    targets `y`; None where there is none to compare with: an equation, classes of the places of sequences, a class that no
    training row has."""
    known = data.y_train
    y = known if y is None else y
    if plan.pde is not None or plan.has_padding or not len(known) or not len(y):
        return None
    if plan.has_classes:
        classes, counts = np.unique(known, return_counts=True)
        if not np.isin(y, classes).all():
            return None
        weights = np.array(plan.loss_options.class_weights or np.ones(classes.max() + 1))
        shares = np.zeros(len(weights))
        shares[classes] = weights[classes] * counts / len(known)
        judged = y[weights[y] > 0]
        return float(-(weights[judged] * np.log(shares[judged] / shares.sum())).sum() / len(y))
    error, delta = np.abs(y - known.mean(0, dtype=float)), plan.loss_options.huber_delta
    if plan.loss == Loss.huber:
        return float(np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)).mean())
    return float((error**2).mean())


def guard_of(plan: Plan, data: DataSet, settings: Training, validation_rows: np.ndarray | None) -> Guard:
    """The guard of a run that begins. `validation_rows`: the packed ones that it will see, None where there are none."""
    looked_at = WINDOW * plan.batch if validation_rows is None else len(validation_rows)
    falls = settings.schedule != Schedule.constant
    constant = best_constant_loss(data, plan)
    if constant is not None and validation_rows is not None and data.y_validation is not None:
        # a few validation rows may lie further out than the training rows: the constant answer's loss on them counts too
        constant = max(constant, best_constant_loss(data, plan, data.y_validation) or 0.0)
    return Guard(constant, settings.steps, looked_at, may_stand_still=falls)


def finite_evaluation(device: Device, rows: np.ndarray, on_progress: OnProgress) -> Evaluation | None:
    """Packed rows measured on the device; None where their loss is not finite."""
    try:
        return device.evaluate(rows, on_progress)
    except DeviceError as error:
        if error.name != "non_finite":
            raise
        return None


def test_columns(plan: Plan, test: Evaluation | None) -> dict[str, float | None]:
    """The columns of the metrics file for a measurement of test rows; none without one."""
    if test is None:
        return {}
    accuracy = test.accuracy if plan.has_classes else None
    return {"accuracy": accuracy, "test_loss": test.loss, "relative_l2": test.relative}
