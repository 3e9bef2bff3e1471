# SPDX-License-Identifier: MIT
"""Numbers as sums of two floats: how exact they are, and that C and NumPy hold the same bits."""

import ctypes
import dataclasses
import shutil
import struct
from fractions import Fraction

import numpy as np
import pytest
from c_library import FUSED
from devices import dense_plan
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import Activation, Arithmetic, Derivative, Loss, Number, Region
from ttzo.exporter import pde
from ttzo.exporter.costs import memory
from ttzo.exporter.export import plan_of
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.host_tools.firmware.boards import load
from ttzo.host_tools.measure.derivative_error import derivative_errors
from ttzo.host_tools.reference.equations import compensated
from ttzo.host_tools.reference.equations.compensated_jet import _basis, _bent, _multiply
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer

WRAPPERS = """
#include "equations/compensated.h"
enum function { SINE, COSINE, TANH };
void map(enum function f, const float *head, const float *tail, float *out_head, float *out_tail, uint32_t n);
void map(enum function f, const float *head, const float *tail, float *out_head, float *out_tail, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct ttzo_two_floats z = { ttzo_lanes_of(head[i]), ttzo_lanes_of(tail[i]) }, made;
        struct ttzo_sine_and_cosine both = ttzo_two_floats_sine(z);
        made = f == SINE ? both.sine : f == COSINE ? both.cosine : ttzo_two_floats_tanh(z);
        out_head[i] = ttzo_lanes_first(made.head);
        out_tail[i] = ttzo_lanes_first(made.tail);
    }
}
void dot(const float *left, const float *right, float *out, uint32_t n);
void dot(const float *left, const float *right, float *out, uint32_t n)
{
    struct ttzo_sum total = { ttzo_lanes_of(0.0f), ttzo_lanes_of(0.0f) };
    for (uint32_t i = 0; i < n; i++)
        total = ttzo_two_floats_muladd(ttzo_two_floats_of(ttzo_lanes_of(left[i]), ttzo_lanes_of(0.0f)),
                                  ttzo_two_floats_of(ttzo_lanes_of(right[i]), ttzo_lanes_of(0.0f)), total);
    struct ttzo_two_floats made = ttzo_rounded(total);
    out[0] = ttzo_lanes_first(made.head);
    out[1] = ttzo_lanes_first(made.tail);
}
"""
SINE, COSINE, TANH = range(3)


def library(c_library, arithmetic: str) -> ctypes.CDLL:
    return c_library("equations/compensated.c", extra=WRAPPERS, flags=FUSED if arithmetic == "fused" else ())


@pytest.fixture(scope="module", params=["separate", "fused"])
def in_c(request, c_library):
    return library(c_library, request.param)


def address(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def mapped(made: ctypes.CDLL, function: int, z: compensated.Split) -> compensated.Split:
    out = np.empty_like(z[0]), np.empty_like(z[0])
    made.map(function, *map(address, (*z, *out)), ctypes.c_uint32(len(z[0])))
    return out


def exactly(x: compensated.Split) -> np.ndarray:
    """Heads and tails are floats of much the same size: their sum takes fewer bits than a long double has."""
    return x[0].astype(np.longdouble) + x[1]


@pytest.fixture(scope="module")
def numbers() -> compensated.Split:
    """Of many sizes, some with a rest below their last bit."""
    rng = np.random.default_rng(0)
    parts = [rng.uniform(-size, size, 4000) for size in (1e-6, 0.1, 0.8, 4.0, 40.0, 1e4)]
    exact = np.concatenate(parts)
    number = exact.astype(np.float32)
    return compensated.split(number, (exact - number).astype(np.float32))


def test_sines_cosines_and_tangents_are_as_exact_as_they_say(in_c, numbers):
    z = exactly(numbers)
    for function, golden, bits in ((SINE, np.sin, 31), (COSINE, np.cos, 31), (TANH, np.tanh, 33)):
        found = exactly(mapped(in_c, function, numbers))
        assert np.abs(found - golden(z)).max() <= 2.0**-bits


def test_a_small_number_s_sine_and_tangent_keep_their_relative_precision(in_c):
    number = (10 ** np.random.default_rng(1).uniform(-20, -1, 2000)).astype(np.float32)
    z = compensated.split(number)
    for function, golden in ((SINE, np.sin), (TANH, np.tanh)):
        found = exactly(mapped(in_c, function, z))
        assert np.abs(found / golden(number.astype(np.longdouble)) - 1).max() <= 2.0**-33


@pytest.mark.parametrize("function", [SINE, COSINE, TANH])
def test_what_is_no_number_stays_none(in_c, function):
    broken = np.float32([np.nan, np.inf, -np.inf] + ([2e5, -2e5] if function != TANH else []))
    with np.errstate(invalid="ignore"):
        z = compensated.split(broken)
    assert np.isnan(exactly(mapped(in_c, function, z))).all()


def test_a_far_tangent_is_one(in_c):
    z = compensated.split(np.float32([14.0, 100.0, -30.0, 1e30]))
    assert np.abs(exactly(mapped(in_c, TANH, z)) - np.sign(z[0])).max() <= 2.0**-38


def test_functions_are_the_same_bits_in_c_and_numpy(c_library, numbers):
    made = library(c_library, "separate")
    twins = *compensated.sine_and_cosine(numbers), compensated.tanh(numbers)
    for function, twin in enumerate(twins):
        for ours, theirs in zip(mapped(made, function, numbers), twin, strict=True):
            assert np.array_equal(ours.view(np.uint32), theirs.view(np.uint32))


@pytest.mark.parametrize("kind", [Activation.relu, Activation.tanh, Activation.sine])
def test_slopes_and_curvatures_are_the_activation_s(kind, numbers):
    z = exactly(numbers)
    t = np.tanh(z)
    golden = {
        Activation.relu: (np.maximum(z, 0), (z > 0) * 1.0, 0 * z),
        Activation.tanh: (t, 1 - t * t, -2 * t * (1 - t * t)),
        Activation.sine: (np.sin(z), np.cos(z), -np.sin(z)),
    }[kind]
    for found, exact in zip(_bent(kind, numbers), golden, strict=True):
        assert np.abs(exactly(found) - exact).max() <= 2.0**-31


# ---- sums ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_sum_that_cancels_keeps_what_a_float_would_lose(in_c, seed):
    """Against the exact rational sum: all but 2^-33 of the terms' sizes."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 200))
    left, right = rng.normal(0, 1, (2, n)).astype(np.float32)
    right[-1] = np.float32(-(left[:-1].astype(np.float64) @ right[:-1]) / left[-1])
    terms = [Fraction(float(a)) * Fraction(float(b)) for a, b in zip(left, right, strict=True)]
    out = np.empty(2, np.float32)
    in_c.dot(address(left), address(right), address(out), ctypes.c_uint32(n))
    assert abs(Fraction(float(out[0])) + Fraction(float(out[1])) - sum(terms)) <= sum(map(abs, terms)) / 2**33


def test_sums_are_the_same_bits_in_c_and_numpy(c_library):
    made, rng = library(c_library, "separate"), np.random.default_rng(5)
    left, right = rng.normal(0, 1, (2, 300)).astype(np.float32)
    out = np.empty(2, np.float32)
    made.dot(address(left), address(right), address(out), ctypes.c_uint32(300))
    twin = _multiply(compensated.split(left), compensated.split(right))
    assert [part.tobytes() for part in twin] == [part.tobytes() for part in out]


def test_a_head_has_twelve_bits_and_nothing_is_lost():
    numbers = np.random.default_rng(2).normal(0, 1, 5000).astype(np.float32)
    head, tail = compensated.split(numbers)
    mantissa, _ = np.frexp(head)
    assert (np.abs(mantissa * 4096) % 1 == 0).all()
    assert (head.astype(np.float64) + tail == numbers).all()


# ---- the paper's network ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def precise():
    pytest.importorskip("torch")
    return plan_of("hjb20", derivative="compensated_jet", batch=1, n_queries=1)


@pytest.mark.parametrize("kind", ["as it is", "rank 2", "zero"])
def test_derivatives_come_from_a_basis_of_what_the_first_layer_reads(c_library, precise, kind):
    """Also where the core reads less than its rank: C and NumPy then take the same step, and derivatives are exact."""
    plan = precise
    theta, rank = plan.parameters.copy(), 4
    last = theta[12:124].reshape(rank, 7, rank)  # of the two input cores, after (1, 3, 4): what it reads of each input
    if kind != "as it is":
        last[:, :, 2:] = 0 if kind == "zero" else last[:, :, :2]
    if kind == "zero":
        last[:] = 0
    plan = dataclasses.replace(plan, parameters=theta)
    basis = exactly(_basis(plan, theta)).astype(np.float64)
    # two rows that agree leave rounding, a direction of its own all the same; rows of zeros leave none
    lengths = np.diag(basis @ basis.T)
    assert (lengths == 0).all() if kind == "zero" else np.abs(basis @ basis.T - np.eye(rank)).max() <= 2.0**-30
    read = np.einsum("ia,ajb->bij", theta[:12].reshape(3, rank).astype(np.float64), last).reshape(rank, 21)[:, :20]
    assert np.abs(read - read @ basis.T @ basis).max() <= 2.0**-30 * np.abs(read).max()
    for found in derivative_errors(plan, theta, 20):
        assert found.error <= 1e-7 * (found.size or 1.0)
    device, reference = Runtime(c_library(*CORE, extra=RUN), plan), Trainer(plan)
    ours, theirs = device.step(Region.collocation), reference.step(Region.collocation)
    assert ours.loss == theirs.loss and device.theta.tobytes() == reference.theta.tobytes()


def test_compensated_jets_of_the_paper_s_network_fit_the_small_board(precise):
    memory.require_room(plan_of("hjb20", derivative="compensated_jet"), load("netduinoplus2").room)


def test_the_solution_is_computed_as_in_training(precise):
    """Outputs without derivatives are the value of the jets."""
    from ttzo.host_tools.reference.equations import compensated_jet

    x = np.random.default_rng(3).random((5, 21)).astype(np.float32)
    value = compensated_jet.derive(precise, precise.parameters, 3, 1, np.ascontiguousarray(x.T))[0]
    assert np.array_equal(NumpyNetwork(precise).outputs(precise.parameters, x), value.T)


# ---- on a board ------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="needs the Arm cross compiler")
@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_a_cortex_m4f_takes_compensated_steps_to_the_bits_of_this_machine(tmp_path, c_library, arithmetic):
    pytest.importorskip("torch")
    pytest.importorskip("unicorn", reason="needs the extra `bench`")
    from ttzo.host_tools.measure.bench import firmware
    from ttzo.host_tools.measure.instruction_count import Machine

    # On this board rows share the first layer's directions; here there is no room for it.
    plan = plan_of("hjb20", derivative="compensated_jet", batch=2, n_queries=1, arithmetic=arithmetic)
    board = load("mps2-an386")
    native = Runtime(c_library(*CORE, extra=RUN, flags=FUSED if arithmetic == Arithmetic.fused else ()), plan)
    machine = Machine(board, firmware(tmp_path / "made", plan, board))
    native.step(Region.collocation)
    machine.call("ttzo_step", machine.trainer, Region.collocation, machine.host)
    machine.call("ttzo_read", machine.trainer, Region.parameters, 0, 4 * plan.n_parameters, machine.host)
    place = struct.unpack("<I", machine.read(machine.host, 4))[0]
    assert machine.read(place, 4 * plan.n_parameters) == native.theta.tobytes() != plan.parameters.tobytes()


# ---- rows that share work --------------------------------------------------------------------------------------------


def heat_plan() -> Plan:
    """u_t = lap u and two equations like it, whose three functions are the outputs of a network 3-8-3."""
    problem = pde.Problem(
        space=[(0, 1), (0, 1)],
        time=(0, 1),
        fields=["u", "v", "w"],
        residual=lambda p: [p.u_t - p.laplacian(p.u) - p.v, p.v_t - p.laplacian(p.v), p.w_t + p.laplacian(p.w) - p.u],
        solution=lambda n, x, t: n,
        rows=3,
    )
    made = pde.trace(problem, derivative=Derivative.compensated_jet)
    plan = dense_plan(3, 8, 3, batch=made.batch)
    last = dataclasses.replace(plan.layers[-1], activation=Activation.identity)
    return plan.with_layers(
        (dataclasses.replace(plan.layers[0], activation=Activation.sine), last),
        loss=Loss.residual,
        input_number=Number.float32,
        input_scale=1.0,
        training=Training((Phase(n_queries=4, learning_rate=1e-3),), seed=7, steps=3),
        pde=made,
    )


@pytest.mark.parametrize("arithmetic", Arithmetic)
def test_rows_that_share_the_first_layer_s_directions_leave_the_same_bits(c_library, arithmetic):
    """With room for it, without, and in NumPy, which has one arithmetic."""
    plan = dataclasses.replace(heat_plan(), arithmetic=arithmetic)
    library = c_library(*CORE, extra=RUN, flags=FUSED if arithmetic == Arithmetic.fused else ())
    needed, spare = memory.work_bytes(plan), memory.spare_bytes(plan)
    runs = [Runtime(library, plan, needed), Runtime(library, plan, needed + spare)]
    if arithmetic == Arithmetic.separate:
        runs.append(Trainer(plan))
    for _ in range(3):
        assert len({each.step(Region.collocation).loss for each in runs}) == 1
    assert len({each.theta.tobytes() for each in runs}) == 1 and runs[0].theta.tobytes() != plan.parameters.tobytes()
    assert spare == 4 * 2 * (3 + 1) * 8 and memory.dataset_capacity(plan, needed + spare + plan.row_bytes) == 1
