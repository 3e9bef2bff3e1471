# SPDX-License-Identifier: MIT
"""The training loop: C and NumPy hold the same bits, and both do what the formulas say."""

import ctypes
import dataclasses
import zlib

import numpy as np
import pytest
from plans import layer_in_double, random_inputs, random_plan, random_rows
from runtime import CORE, RUN, Runtime, aligned

from ttzo.device_runtime.contract import (
    DeviceError,
    Difference,
    Direction,
    Estimator,
    LayerKind,
    Loss,
    Number,
    Region,
    Schedule,
    Update,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.reference.network.network import forward
from ttzo.host_tools.reference.train.trainer import Trainer, rate_factor


@pytest.fixture(scope="session")
def core(c_library):
    return c_library(*CORE, extra=RUN)


def put(trainer, region: Region, rows: np.ndarray) -> None:
    data = rows.tobytes()
    trainer.write(region, 0, data)
    trainer.commit(region, len(data), zlib.crc32(data))


def random_training(rng: np.random.Generator) -> Training:
    def phase() -> Phase:
        return Phase(
            estimator=Estimator(rng.choice([Estimator.rge, Estimator.cge])),
            direction=Direction(rng.choice(list(Direction))),
            difference=Difference(rng.choice(list(Difference))),
            update=Update(rng.choice(list(Update))),
            n_queries=int(rng.integers(1, 5)),
            perturb_radius=float(rng.choice([1e-2, 1e-3])),
            learning_rate=float(rng.choice([0.1, 0.01])),
            clip_norm=float(rng.choice([0.0, 0.5])),
        )

    return Training(
        phases=tuple(phase() for _ in range(rng.integers(1, 3))),
        seed=int(rng.integers(2**63)),
        steps=int(rng.integers(5, 40)),
        schedule=Schedule(rng.choice(list(Schedule))),
        warmup_steps=int(rng.integers(0, 4)),
        decay_every=int(rng.integers(1, 4)),
        decay_factor=0.9,
        plateau_window=2,
        plateau_patience=1,
        plateau_tolerance=0.3,
    )


@pytest.mark.parametrize("seed", range(40))
def test_c_and_numpy_train_to_the_same_bits(core, seed):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, random_training(rng))
    capacity = memory.work_bytes(plan) + 23 * plan.row_bytes
    device, reference = Runtime(core, plan, capacity), Trainer(plan, work_capacity=capacity)
    region = Region.dataset if seed % 2 else Region.batch
    for trainer in (device, reference):
        put(trainer, region, random_rows(np.random.default_rng(seed), plan, 23 if seed % 2 else plan.batch))
    for _ in range(8):
        results = []
        for trainer in (device, reference):
            try:
                r = trainer.step(region)
                results.append((r.phase, np.float32(r.loss), np.float32(r.gradient_norm), r.evaluations))
            except DeviceError as error:
                results.append((error.name, error.detail))
        assert results[0] == results[1]
        assert device.theta.tobytes() == reference.theta.tobytes()
        assert device.moments.tobytes() == reference.moments.tobytes()
        assert device.state == reference.state
    assert device.evaluate(region, 1, plan.batch - 1) == reference.evaluate(region, 1, plan.batch - 1)


@pytest.mark.parametrize("seed", range(24))
def test_forward_agrees_with_dense_weights_rebuilt_in_double(seed):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, Training())
    x = random_inputs(rng, plan, 7)
    state = x.astype(np.float64)
    for layer in plan.layers:
        state = layer_in_double(plan.parameters, layer, state)
    scale = np.abs(state).max() + 1
    # a chain of n float32 roundings errs by at most n eps relative to the sum of magnitudes; 1e-4 holds for these sizes
    assert np.abs(forward(plan, plan.parameters, x) - state).max() < 1e-4 * scale


def linear_plan(training: Training, parameters: np.ndarray, batch: int = 3) -> Plan:
    """y = w x + b with squared error: a quadratic loss, whose finite differences have a closed form."""
    n = parameters.size - 1
    layer = Layer("linear", LayerKind.dense, n, 1, 0)
    return Plan.of_layers(
        (layer,), parameters.astype(np.float32), Loss.mse, training, batch, input_number=Number.float32
    )


def quadratic_gradient(theta: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    error = x @ theta[:-1] + theta[-1] - y
    return 2 * np.concatenate([x.T @ error, [error.sum()]]) / len(x)


def rows_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.concatenate([x, y[:, None]], axis=1).astype("<f4").view(np.uint8)


def test_antithetic_cge_of_a_quadratic_is_its_gradient(core):
    rng = np.random.default_rng(1)
    theta, x, y = rng.normal(size=5), rng.normal(size=(3, 4)), rng.normal(size=3)
    phase = Phase(
        Estimator.cge, difference=Difference.antithetic, update=Update.sgd, perturb_radius=0.125, learning_rate=1.0
    )
    device = Runtime(core, linear_plan(Training((phase,)), theta))
    put(device, Region.batch, rows_of(x, y))
    before = device.theta.astype(np.float64)
    device.step(Region.batch)
    # central differences of a quadratic are exact; left are float32 roundings of losses near 1, over 2 mu = 1/4
    np.testing.assert_allclose(before - device.theta, quadratic_gradient(theta, x, y), atol=1e-5)


def test_rge_is_unbiased_for_a_quadratic(core):
    rng = np.random.default_rng(2)
    theta, x, y = rng.normal(size=5), rng.normal(size=(3, 4)), rng.normal(size=3)
    n = 4096
    for kind in Direction:
        phase = Phase(Estimator.rge, kind, Difference.antithetic, Update.sgd, n, 0.125, 1.0)
        device = Runtime(core, linear_plan(Training((phase,), seed=3), theta))
        put(device, Region.batch, rows_of(x, y))
        before = device.theta.astype(np.float64)
        device.step(Region.batch)
        wanted = quadratic_gradient(theta, x, y)
        # each query errs by about |g| in each coordinate (Gaussian: sqrt 2 more in one): five sigma of their mean
        assert np.abs(before - device.theta - wanted).max() < 5 * 1.5 * np.linalg.norm(wanted) / np.sqrt(n)


@pytest.mark.parametrize("update", [Update.sgd, Update.momentum, Update.ema_momentum, Update.adam, Update.sign])
def test_update_rules_follow_their_formulas(update):
    rng = np.random.default_rng(4)
    theta, x, y = rng.normal(size=5), rng.normal(size=(3, 4)), rng.normal(size=3)
    phase = Phase(Estimator.cge, difference=Difference.antithetic, update=update, perturb_radius=0.125, learning_rate=0.02,
                  beta1=0.8, beta2=0.9)  # fmt: skip
    trainer = Trainer(linear_plan(Training((phase,)), theta))
    put(trainer, Region.batch, rows_of(x, y))
    v, s, wanted = np.zeros(5), np.zeros(5), theta.copy()
    for t in range(1, 6):
        g = quadratic_gradient(wanted, x, y)
        s = 0.9 * s + 0.1 * g * g
        v = {Update.momentum: 0.8 * v + g}.get(update, 0.8 * v + 0.2 * g)
        wanted = wanted - 0.02 * {
            Update.sgd: g, Update.sign: np.sign(g), Update.adam: (v / (1 - 0.8**t)) / (np.sqrt(s / (1 - 0.9**t)) + 1e-8),
        }.get(update, v)  # fmt: skip
        trainer.step(Region.batch)
        np.testing.assert_allclose(trainer.theta, wanted, atol=1e-4)  # float32 losses over 2 mu, five steps


def test_schedules_follow_their_formulas():
    base = to_bundle.training_records(Training(steps=100, warmup_steps=10, decay_every=20, decay_factor=0.5))[0]
    for step in (0, 3, 9, 10, 50, 99, 100, 150):
        warm = min(1, (step + 1) / 10)
        done = min(1, step / 100)
        for schedule, wanted in {
            Schedule.constant: 1,
            Schedule.step: 0.5 ** (step // 20),
            Schedule.linear: 1 - done,
            Schedule.cosine: (1 + np.cos(np.pi * done)) / 2,
        }.items():
            record = dataclasses.replace(base, schedule=schedule)
            assert rate_factor(record, step) == pytest.approx(warm * wanted, abs=1e-6)  # float32 against double


def test_hybrid_switches_when_the_loss_stands_still(core):
    still = Phase(Estimator.rge, update=Update.sign, n_queries=1, learning_rate=0.0)
    then = Phase(Estimator.cge, update=Update.ema_momentum, learning_rate=0.0)
    plan = linear_plan(
        Training((still, then), plateau_window=3, plateau_patience=2, plateau_tolerance=0.01), np.ones(5)
    )
    device = Runtime(core, plan)
    rng = np.random.default_rng(5)
    put(device, Region.batch, rows_of(rng.normal(size=(3, 4)), rng.normal(size=3)))
    phases = [device.step(Region.batch).phase for _ in range(12)]
    # the first window sets the mark, two more without progress end the phase: 9 steps
    assert phases == [0] * 9 + [1] * 3
    assert device.state.phase_start == 9


def test_the_first_loss_that_is_not_finite_stops_the_step_and_changes_nothing(core):
    phase = Phase(Estimator.rge, update=Update.momentum, n_queries=2)
    plan = linear_plan(Training((phase,)), np.full(5, 1e38))
    device = Runtime(core, plan)
    put(device, Region.batch, rows_of(np.full((3, 4), 1e3), np.zeros(3)))
    before = device.theta.tobytes(), device.moments.tobytes(), device.state
    with pytest.raises(DeviceError) as caught:
        device.step(Region.batch)
    assert caught.value.name == "non_finite"
    assert (device.theta.tobytes(), device.moments.tobytes(), device.state) == before


def test_a_run_that_is_cut_and_restored_ends_in_the_same_bits(core):
    rng = np.random.default_rng(6)
    plan = random_plan(rng, Training((Phase(update=Update.adam, n_queries=3),), seed=9))
    rows = random_rows(rng, plan, 11)
    capacity = memory.work_bytes(plan) + 11 * plan.row_bytes
    whole, first, second = (Runtime(core, plan, capacity) for _ in range(3))
    for run in (whole, first, second):
        run.put(Region.dataset, rows.tobytes())
    for _ in range(9):
        whole.step(Region.dataset)
    for _ in range(4):
        first.step(Region.dataset)
    second.put(Region.parameters, first.theta.tobytes())
    second.put(Region.moments, first.moments.tobytes())
    second.set_state(first.state)
    for _ in range(5):
        second.step(Region.dataset)
    assert second.theta.tobytes() == whole.theta.tobytes()
    assert second.moments.tobytes() == whole.moments.tobytes()


def test_rows_sent_and_rows_kept_on_the_device_train_to_the_same_bits(core):
    from ttzo.host_tools.reference.number.random import sample_rows

    rng = np.random.default_rng(7)
    plan = random_plan(rng, Training((Phase(update=Update.sgd, n_queries=3),), seed=11))
    rows = random_rows(rng, plan, 13)
    kept, sent = Runtime(core, plan, memory.work_bytes(plan) + 13 * plan.row_bytes), Runtime(core, plan)
    kept.put(Region.dataset, rows.tobytes())
    for step in range(6):
        kept.step(Region.dataset)
        sent.put(Region.batch, rows[sample_rows(11, step * plan.batch + np.arange(plan.batch), 13)].tobytes())
        sent.step(Region.batch)
    assert kept.theta.tobytes() == sent.theta.tobytes()


def test_configure_takes_what_costs_nothing_and_refuses_what_is_fixed(core):
    plan = linear_plan(Training((Phase(update=Update.sgd),)), np.ones(5))
    device, reference = Runtime(core, plan), Trainer(plan)
    training, phase, none = to_bundle.training_records(plan.training)
    for trainer in (device, reference):
        trainer.configure(training, dataclasses.replace(phase, learning_rate=0.5, n_queries=3), none)
        for change, name, number in (
            ({"update": Update.adam}, "fixed_at_export", 19),
            ({"estimator": Estimator.cge}, "fixed_at_export", 16),
            ({"n_queries": 0}, "bad_setting", 20),
            ({"perturb_radius": 0.0}, "bad_setting", 21),
            ({"learning_rate": float("nan")}, "bad_setting", 22),
            ({"beta1": 1.0}, "bad_setting", 23),
        ):
            with pytest.raises(DeviceError) as caught:
                trainer.configure(training, dataclasses.replace(phase, **change), none)
            assert (caught.value.name, caught.value.detail) == (name, number)


def test_more_random_directions_than_there_is_memory_for_are_refused(core):
    plan = linear_plan(Training((Phase(update=Update.sgd, n_queries=200),)), np.ones(5))
    training, phase, none = to_bundle.training_records(plan.training)
    for trainer in (Runtime(core, plan), Trainer(plan)):
        trainer.configure(training, dataclasses.replace(phase, n_queries=200), none)
        with pytest.raises(DeviceError) as caught:
            trainer.configure(training, dataclasses.replace(phase, n_queries=201), none)
        assert (caught.value.name, caught.value.detail) == ("fixed_at_export", 20)


def test_training_by_random_directions_takes_one_copy_of_the_parameters_and_a_kilobyte(core):
    plan = linear_plan(Training((Phase(update=Update.sgd, n_queries=100),)), np.ones(5))
    items = memory.work_items(dataclasses.replace(plan, batch=64))
    inference = ("parameters", "forward pass", "rows of the batch")
    extra = sum(size for name, size in items.items() if name not in inference)
    assert extra <= items["parameters"] + 1024


def test_every_truncation_and_every_flipped_byte_of_a_bundle_is_refused_by_the_device(core):
    plan = linear_plan(Training((Phase(),)), np.ones(5))
    whole = to_bundle.write(plan)
    for damaged in [whole[:n] for n in range(len(whole))] + [
        whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :] for i in range(len(whole))
    ]:
        with pytest.raises(DeviceError) as caught:
            Runtime(core, plan, 1 << 12, damaged)
        assert caught.value.name in ("bad_bundle", "bad_bundle_format")


@pytest.mark.parametrize("seed", range(4))
def test_a_bundle_with_a_right_checksum_and_wrong_numbers_never_opens_or_crashes(c_library, seed):
    """Every byte of info, schedule and layers is set to other values under a mended CRC; the sanitizers watch."""
    core = c_library(*CORE, extra=RUN, flags=("-fsanitize=undefined", "-fno-sanitize-recover=all"))
    rng = np.random.default_rng(seed)
    plan = random_plan(rng, Training((Phase(),)))
    whole = bytearray(to_bundle.write(plan))
    records = len(whole) - 4 - 4 * plan.n_parameters
    for at in range(32, records):
        for value in (0, 1, 0x7F, 0xFF):
            changed = bytearray(whole)
            changed[at] = value
            changed[-4:] = zlib.crc32(changed[:-4]).to_bytes(4, "little")
            try:
                run = Runtime(core, plan, 1 << 16, bytes(changed))
                run.put(Region.batch, random_rows(rng, plan, plan.batch).tobytes())
                run.step(Region.batch)
            except DeviceError:
                continue


def test_work_buffer_is_the_exporters_figure_to_the_byte(core):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        plan = random_plan(rng, random_training(rng), batch=int(rng.integers(1, 9)))
        needed = memory.work_bytes(plan)
        Runtime(core, plan, needed)
        with pytest.raises(DeviceError) as caught:
            Runtime(core, plan, needed - 1)
        assert (caught.value.name, caught.value.detail) == ("out_of_memory", needed)


def test_bad_labels_and_unfinished_writes_are_refused(core):
    rng = np.random.default_rng(8)
    plan = random_plan(rng, Training((Phase(),)), loss=Loss.cross_entropy)
    rows = random_rows(rng, plan, plan.batch)
    device = Runtime(core, plan)
    with pytest.raises(DeviceError, match="no complete data"):
        device.step(Region.batch)
    bad = rows.copy()
    bad[3, -2:] = np.frombuffer(np.uint16(plan.out_features).tobytes(), np.uint8)
    with pytest.raises(DeviceError) as caught:
        device.put(Region.batch, bad.tobytes())
    assert (caught.value.name, caught.value.detail) == ("bad_label", 3)
    device.put(Region.batch, rows.tobytes())
    device.step(Region.batch)
    device.write(Region.batch, 0, rows.tobytes()[:3])
    with pytest.raises(DeviceError, match="no complete data"):
        device.step(Region.batch)
    with pytest.raises(DeviceError, match="checksum"):
        device.commit(Region.batch, rows.nbytes, 1)


# ---- wrong arguments -------------------------------------------------------------------------------------------------


def test_wrong_arguments_have_errors_of_their_own(core):
    plan = linear_plan(Training(), np.zeros(4))
    run = Runtime(core, plan)
    detail = ctypes.c_uint32()
    work = aligned(memory.work_bytes(plan) + 8)
    model = ctypes.cast(run._trainer, ctypes.POINTER(ctypes.c_void_p))[0]  # the trainer's first member
    started = ctypes.cast(run._trainer, ctypes.c_void_p)

    def opened(trainer, model, address, size, detail):
        code = core.ttzo_open(trainer, model, ctypes.c_void_p(address), ctypes.c_size_t(size), detail)
        return DeviceError.from_code(code, 0).name if code else "ok"

    size, address, model = work.size, work.ctypes.data, ctypes.c_void_p(model)
    assert opened(started, model, address, size, ctypes.byref(detail)) == "ok"
    assert opened(started, model, address, size, None) == "null_pointer"
    assert (opened(None, model, address, size, ctypes.byref(detail)), detail.value) == ("null_pointer", 1)
    assert (opened(started, None, address, size, ctypes.byref(detail)), detail.value) == ("null_pointer", 2)
    assert (opened(started, model, None, size, ctypes.byref(detail)), detail.value) == ("null_pointer", 3)
    assert (opened(started, model, address + 4, size - 4, ctypes.byref(detail)), detail.value) == ("misaligned", 8)
    assert opened(started, model, address, size - 16, ctypes.byref(detail)) == "out_of_memory"
    assert detail.value == memory.work_bytes(plan)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("ttzo_step", (int(Region.batch), None)),
        ("ttzo_predict", (0, None)),
        ("ttzo_write", (int(Region.batch), 0, None, 4)),
        ("ttzo_read", (int(Region.parameters), 0, 4, None)),
        ("ttzo_evaluate", (int(Region.batch), 0, 1, None, None)),
        ("ttzo_solution_error", (int(Region.batch), 0, 1, None, None)),
        ("ttzo_configure", (None, None)),
        ("ttzo_set_state", (None,)),
    ],
)
def test_a_null_pointer_is_an_error_everywhere(core, function, arguments):
    run = Runtime(core, linear_plan(Training(), np.zeros(4)))
    detail = ctypes.c_uint32()
    for trainer, at in ((run._trainer, ctypes.byref(detail)), (run._trainer, None), (None, ctypes.byref(detail))):
        code = getattr(core, function)(trainer, *arguments, at)
        assert DeviceError.from_code(code, 0).name == "null_pointer"
