# SPDX-License-Identifier: MIT
"""Unknown constants from logs: the same bits in C and NumPy, closed forms, cuts, and what a log cannot say."""

import dataclasses
import math
import zlib

import numpy as np
import pytest
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import BundleHeader, DeviceError, Identification, LogRow, Region
from ttzo.exporter import ode
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.host_tools.data.read_log import make_log
from ttzo.host_tools.device.device import open_device
from ttzo.host_tools.reference.train.trainer import Trainer
from ttzo.host_tools.training import identify as fitting
from ttzo.host_tools.training.findings import findings

TRUE_TAU, TRUE_GAIN = 7.0, 3.0
RICH = ode.Model(
    time="s",
    substep=0.4,
    states={"a": ode.Unknown(1.0, -3.0, 3.0, log=False), "b": lambda m: m.u / m.c},
    inputs=["u", "v"],
    linear=["v"],
    unknowns={"tau": 5.0, "c": ode.Unknown(2.0, 0.5, 8.0)},
    rates=lambda m: [(m.v - m.a) / m.tau, ode.sin(m.a) * m.c - m.b + ode.curve(m.u, [0, 1, 2], [0.0, 0.5, 0.2])],
    measured={"y": lambda m: m.a * m.b, "z": ode.Measured("a", noise=0.5)},
    starts=2,
    tries=2,
)


def plan_of_model(model: ode.Model, batch: int = 8, start: list[float] | None = None, seed: int = 3) -> Plan:
    simulation, theta = ode.trace(model)
    theta = theta if start is None else simulation.theta(np.array(start)).astype(np.float32)
    return Plan.of_simulation(
        simulation, theta, training=Training((Phase.of_simulation(),), seed=seed, steps=2**31), batch=batch
    )


def decay(**options) -> ode.Model:
    """x' = (gain u - x) / tau from x = 0: with u = 1, x = gain (1 - exp(-t / tau))."""
    return ode.Model(
        **{
            "time": "s",
            "substep": 0.5,
            "states": {"x": 0.0},
            "inputs": ["u"],
            "unknowns": {"tau": 4.0, "gain": 5.0},
            "rates": lambda m: [(m.gain * m.u - m.x) / m.tau],
            "measured": {"y": "x"},
        }
        | options
    )


def step_response(n: int = 60, noise: float = 0.0, seed: int = 0):
    """Times, inputs and the closed form, with noise."""
    times = np.arange(n) * 0.5
    exact = TRUE_GAIN * (1 - np.exp(-times / TRUE_TAU))
    return times, np.ones((n, 1)), (exact + noise * np.random.default_rng(seed).normal(size=n))[:, None]


def rich_rows(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 6)).astype(np.float32)
    rows[:, 0] = rng.choice([LogRow.fitted, LogRow.fitted, LogRow.held_out, LogRow.unmeasured], n)
    rows[:, 1] = rng.choice([0.0, 0.3, 1.1], n, p=[0.05, 0.75, 0.2])  # 0: the states begin anew
    return rows


def put(device, region: Region, rows: np.ndarray) -> None:
    data = np.ascontiguousarray(rows, "<f4").tobytes()
    device.write(region, 0, data)
    device.commit(region, len(data), zlib.crc32(data))


def bits(device) -> bytes:
    return device.theta.tobytes() + device.moments.tobytes()


@pytest.fixture(scope="module")
def library(c_library):
    return c_library(*CORE, extra=RUN)


@pytest.fixture
def on_native(tmp_path):
    """`on_native(plan)`: an open native: device."""
    opened = []

    def start(plan: Plan):
        path = tmp_path / f"{len(opened)}.ttzo"
        path.write_bytes(to_bundle.write(plan))
        opened.append(open_device("native:", path))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


# ---- the same bits --------------------------------------------------------------------------------------------------


def test_c_and_numpy_fit_to_the_same_bits_through_starts_marks_and_a_second_log(library):
    plan = plan_of_model(RICH)
    devices = [Trainer(plan, work_capacity=1 << 16), Runtime(library, plan, work_capacity=1 << 16)]
    for seed, steps in ((0, 44), (1, 16)):
        for device in devices:
            put(device, Region.dataset, rich_rows(29, seed))
        for _ in range(steps):
            results = [device.step(Region.dataset) for device in devices]
            assert results[0].loss == results[1].loss and results[0].gradient_norm == results[1].gradient_norm
            assert bits(devices[0]) == bits(devices[1])
        places = devices[0].moments[plan.simulation.layout["places"]]
        assert places[Identification.logs] == seed and places[Identification.known] == 1
        mark = np.zeros((8, 6), np.float32)
        mark[:, :2] = LogRow.end_of_log, 0.5
        for device in devices:
            put(device, Region.batch, mark)
            device.step(Region.batch)
        assert bits(devices[0]) == bits(devices[1])
    assert places[Identification.sweeps] == 60 // 4  # 29 rows are three batches of 8, 5 rows and the end


def test_a_log_that_is_sent_in_batches_leaves_the_bits_of_one_that_stays(library):
    plan = plan_of_model(RICH)
    stays, sent = (Runtime(library, plan, work_capacity=1 << 16) for _ in range(2))
    rows = rich_rows(29, 2)
    put(stays, Region.dataset, rows)
    end = np.zeros((3, 6), np.float32)
    end[:, 0] = LogRow.end_of_sweep
    for step in range(24):
        put(sent, Region.batch, np.vstack([rows, end])[8 * (step % 4) :][:8])
        stays.step(Region.dataset)
        sent.step(Region.batch)
        assert bits(stays) == bits(sent)


def test_a_fit_that_is_cut_anywhere_goes_on_to_the_same_bits(library):
    plan = plan_of_model(RICH)
    whole = Runtime(library, plan, work_capacity=1 << 16)
    put(whole, Region.dataset, rich_rows(29, 0))
    for step in range(14):
        whole.step(Region.dataset)
        after = Runtime(library, plan, work_capacity=1 << 16)
        after.put(Region.parameters, whole.theta.tobytes())
        after.put(Region.moments, whole.moments.tobytes())
        after.set_state(whole.state)
        put(after, Region.dataset, rich_rows(29, 0))
        ahead = Runtime(library, plan, work_capacity=1 << 16)
        put(ahead, Region.dataset, rich_rows(29, 0))
        for _ in range(step + 6):
            ahead.step(Region.dataset)
        for _ in range(5):
            after.step(Region.dataset)
        assert bits(after) == bits(ahead)


def test_rows_that_are_not_finite_and_questions_to_a_network_are_refused(library):
    plan = plan_of_model(RICH)
    rows = rich_rows(8, 0)
    for device in (Trainer(plan), Runtime(library, plan, work_capacity=1 << 16)):
        put(device, Region.batch, rows)
        for ask in (lambda d=device: d.evaluate(Region.batch, 0, 1), lambda d=device: d.predict(0)):
            with pytest.raises(DeviceError, match="length or a field"):
                ask()
        wrong = rows.copy()
        wrong[2, 3] = np.nan
        with pytest.raises(DeviceError, match="number 15 of the written region is not finite"):
            put(device, Region.batch, wrong)


# ---- closed forms ---------------------------------------------------------------------------------------------------


def test_the_constants_of_a_step_response_without_noise_are_found(on_native, tmp_path):
    plan = plan_of_model(decay())
    with on_native(plan) as device:
        found = fitting.identify(device, make_log(plan.simulation, *step_response()), tmp_path / "run")
    tau, gain = found.found.constants
    assert found.converged and (tau.name, gain.name) == ("tau", "gain")
    assert tau.value == pytest.approx(TRUE_TAU, rel=2e-4) and gain.value == pytest.approx(TRUE_GAIN, rel=1e-4)
    assert found.integration < fitting.COARSE or found.found.noise < 1e-5


def test_standard_errors_and_residuals_are_those_of_the_closed_form(on_native, tmp_path):
    times, inputs, measured = step_response(400, noise=0.05)
    plan = plan_of_model(decay(), batch=64)
    with on_native(plan) as device:
        found = fitting.identify(device, make_log(plan.simulation, times, inputs, measured), tmp_path / "run").found
    fitted, held = slice(0, 320), slice(320, 400)
    tau, gain = (constant.value for constant in found.constants)
    shape = 1 - np.exp(-times / tau)
    by_log_tau, by_log_gain = -gain * np.exp(-times / tau) * times / tau, gain * shape
    jacobian = np.stack([by_log_tau, by_log_gain], 1)[fitted]
    residuals = gain * shape - measured[:, 0]
    noise = math.sqrt((residuals[fitted] ** 2).sum() / (320 - 2))
    covariance = np.linalg.inv(jacobian.T @ jacobian) * noise**2
    assert found.noise == pytest.approx(noise, rel=1e-3)
    assert found.held_noise == pytest.approx(math.sqrt((residuals[held] ** 2).mean()), rel=1e-3)
    errors = [constant.error / constant.value for constant in found.constants]
    np.testing.assert_allclose(errors, np.sqrt(np.diag(covariance)), rtol=0.02)  # differences of 1 %
    wanted = covariance[0, 1] / math.sqrt(covariance[0, 0] * covariance[1, 1])
    assert found.correlations[0][1] == pytest.approx(wanted, abs=0.02)
    lag = (residuals[fitted][1:] * residuals[fitted][:-1]).sum() / (residuals[fitted] ** 2).sum()
    assert found.lag == pytest.approx(lag, abs=0.01) and found.is_white and found.fits_held_rows
    assert not any(constant.remark for constant in found.constants)


def test_residuals_of_a_model_that_lacks_something_are_not_white(on_native, tmp_path):
    times, inputs, measured = step_response(200, noise=0.02)
    drift = 0.3 * np.sin(times / 8)[:, None]
    plan = plan_of_model(decay(), batch=64)
    with on_native(plan) as device:
        log = make_log(plan.simulation, times, inputs, measured + drift)
        assert not fitting.identify(device, log, tmp_path / "run").found.is_white


def test_a_second_log_with_the_first_remembered_equals_one_fit_of_both(on_native, tmp_path):
    """Noise differs; both halves of a recording of equal conditions say the same as two recordings in one table."""
    plan = plan_of_model(decay(starts=0), batch=64)
    logs = [make_log(plan.simulation, *step_response(100, 0.05, seed), hold_out=0.0) for seed in (1, 2)]
    both = dataclasses.replace(
        logs[0], rows=np.vstack([log.rows for log in logs])
    )  # its second half begins with time 0
    with on_native(plan) as device:
        for log in logs:
            one_by_one = fitting.identify(device, log, tmp_path / "run").found
        forgotten = fitting.identify(device, logs[0], tmp_path / "run", forget=0.0).found
        at_once = fitting.identify(device, both, tmp_path / "both").found
        first_alone = fitting.identify(device, logs[0], tmp_path / "first").found
    assert one_by_one.logs == 2
    for a, b in zip(one_by_one.constants, at_once.constants, strict=True):
        assert a.value == pytest.approx(b.value, abs=0.1 * b.error)
    for a, b in zip(forgotten.constants, first_alone.constants, strict=True):
        assert a.value == pytest.approx(b.value, abs=0.1 * b.error)
        assert a.error == pytest.approx(b.error, rel=0.02)


# ---- what cannot be found ---------------------------------------------------------------------------------------------


def test_what_the_log_does_not_show_is_said(on_native, tmp_path):
    product = decay(
        unknowns={"tau": 4.0, "a": 2.0, "b": 2.0, "unused": 1.0},
        rates=lambda m: [(m.a * m.b * m.u - m.x) / m.tau + 0.0 * m.unused],
    )
    plan = plan_of_model(product)
    with on_native(plan) as device:
        log = make_log(plan.simulation, *step_response(noise=0.02))
        found = fitting.identify(device, log, tmp_path / "run").found
    remarks = {constant.name: constant.remark for constant in found.constants}
    assert remarks["tau"] == "" and "apart from b" in remarks["a"] and "apart from a" in remarks["b"]
    assert remarks["unused"].startswith("not identifiable") and math.isinf(found.constants[3].error)
    product_found = found.constants[1].value * found.constants[2].value
    assert product_found == pytest.approx(TRUE_GAIN, rel=0.05)


def test_a_constant_outside_its_bounds_stops_at_the_bound(on_native, tmp_path):
    plan = plan_of_model(decay(unknowns={"tau": ode.Unknown(4.0, 2.0, 5.0), "gain": 5.0}))
    with on_native(plan) as device:
        log = make_log(plan.simulation, *step_response(noise=0.02))
        found = fitting.identify(device, log, tmp_path / "run").found
    assert found.constants[0].value == pytest.approx(5.0, rel=1e-6) and found.constants[0].remark == "at its bound"


def test_an_unstable_start_is_left_for_another_one_and_all_unstable_are_a_sentence(on_native, tmp_path):
    # a step of 0.5 with a time constant of 0.02 multiplies by 1.6e4: RK4 leaves float32 within some ten rows
    stiff = decay(unknowns={"tau": ode.Unknown(0.02, 0.01, 100.0), "gain": 5.0}, starts=8, spread=4.0)
    plan = plan_of_model(stiff)
    log = make_log(plan.simulation, *step_response(noise=0.02))
    with on_native(plan) as device:
        found = fitting.identify(device, log, tmp_path / "run").found
        assert found.constants[0].value == pytest.approx(TRUE_TAU, rel=0.1)
    hopeless = plan_of_model(dataclasses.replace(stiff, unknowns={"tau": ode.Unknown(0.02, 0.01, 0.03), "gain": 5.0}))
    with on_native(hopeless) as device, pytest.raises(fitting.IdentifyError, match="leaves the finite numbers") as told:
        fitting.identify(device, log, tmp_path / "hopeless")
    assert "substep" in told.value.hint


def test_an_integration_step_that_is_too_long_is_seen(on_native, tmp_path):
    times, inputs, measured = step_response(60, noise=0.001)
    coarse = plan_of_model(decay(substep=8.0, unknowns={"tau": ode.Unknown(6.0, 3.0, 30.0), "gain": 3.0}))
    log = make_log(coarse.simulation, times[::12], inputs[::12], measured[::12], hold_out=0.0)
    with on_native(coarse) as device:
        assert fitting.identify(device, log, tmp_path / "run").integration > fitting.COARSE


# ---- bundles ----------------------------------------------------------------------------------------------------------


def test_a_bundle_gives_the_simulation_back():
    plan = plan_of_model(RICH)
    read = to_bundle.read(to_bundle.write(plan))
    assert read.simulation == plan.simulation and read.parameters.tobytes() == plan.parameters.tobytes()


def test_a_damaged_section_is_refused_or_fits_without_harm(c_library):
    """The library stops at undefined behaviour; moments stay finite whatever the numbers are."""
    library = c_library(*CORE, extra=RUN, flags=("-fsanitize=undefined", "-fno-sanitize-recover=all"))
    data, rng, refused = to_bundle.write(plan_of_model(RICH)), np.random.default_rng(0), 0
    section = range(BundleHeader.SIZE, len(data) - BundleHeader.unpack(data).metadata_bytes)
    for at in rng.integers(section.start, section.stop, 300):
        damaged = bytearray(data)
        damaged[at] ^= int(rng.integers(1, 256))
        damaged[-4:] = zlib.crc32(damaged[:-4]).to_bytes(4, "little")
        try:
            device = Runtime(library, plan_of_model(RICH), work_capacity=1 << 16, bundle=bytes(damaged))
            put(device, Region.dataset, rich_rows(29, 0))
            for _ in range(12):
                device.step(Region.dataset)
        except DeviceError:
            refused += 1
            continue
        assert np.isfinite(device.moments).all() and np.isfinite(device.theta).all()
    assert 100 < refused < 300


def test_findings_of_nothing_are_no_error():
    plan = plan_of_model(RICH)
    found = findings(plan.simulation, plan.parameters, np.zeros(plan.n_moments, np.float32))
    assert all(constant.remark.startswith("not identifiable") for constant in found.constants)
