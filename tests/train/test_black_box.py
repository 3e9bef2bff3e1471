# SPDX-License-Identifier: MIT
"""A function of a program's own in the place of a network: the example of docs/black_box.md here and on an emulated board,
least squares against their closed form and in the bits of the reference, runs that go on to the same bits."""

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from firmware import needs_compiler, needs_qemu
from runtime import CORE

from ttzo.device_runtime import FOLDER
from ttzo.device_runtime.contract import DeviceError, Difference, Estimator, Region, Update
from ttzo.exporter.plan.training import Phase
from ttzo.host_tools.reference.equations.gauss_newton import BlackBox, GaussNewton

PID = Path(__file__).parents[2] / "docs" / "black_box" / "pid.c"
FLAGS = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-ffp-contract=off", "-I", str(FOLDER)]
SOURCES = [str(FOLDER / name) for name in CORE]
# Where a Cortex-M begins; the C library's start-up talks to QEMU.
VECTORS = """
extern void _start(void);
extern void *const vectors[2];
__attribute__((section(".vectors"), used)) void *const vectors[2] = { (void *)0x20400000, (void *)_start };
"""
PLACES = (
    "-Wl,--undefined=vectors,--section-start=.vectors=0x0,--section-start=.init=0x1000,-Ttext=0x2000,-Tdata=0x20000000"
)


def output(*command) -> str:
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True, timeout=600).stdout


@pytest.fixture(scope="module")
def tuned(tmp_path_factory) -> str:
    program = tmp_path_factory.mktemp("pid") / "pid"
    output("cc", *FLAGS, "-o", program, PID, *SOURCES)
    return output(program)


def test_the_example_tunes_its_controller(tuned):
    before, after = map(float, re.fullmatch(r"loss (\S+) -> (\S+), gains .*\n", tuned).groups())
    assert before > 0.2 and after < 0.07  # the price of force alone is about 0.02


@needs_compiler
@needs_qemu
def test_an_emulated_board_tunes_it_to_the_same_digits(tmp_path, tuned):
    (tmp_path / "vectors.c").write_text(VECTORS)
    core = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=soft", "--specs=rdimon.specs", "-ffunction-sections"]
    made = tmp_path / "pid.elf"
    output("arm-none-eabi-gcc", *FLAGS, "-Wno-pedantic", *core, PLACES, "-Wl,--gc-sections", "-o", made,
           tmp_path / "vectors.c", PID, *SOURCES)  # fmt: skip
    machine = ["-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native"]
    assert output(shutil.which("qemu-system-arm"), *machine, "-kernel", made) == tuned


# ---- least squares: residuals A theta - b ----------------------------------------------------------------------------

HARNESS = """
#include "ttzo.h"
static struct ttzo_model model;
static struct ttzo_trainer trainer;
static uint64_t work[400];
static float matrix[20][4], wanted[20], at[4];
static unsigned char saved[4000];
static uint32_t n_saved;

static void residuals_black_box(void *context, const float *theta, float *out)
{
    ++*(uint32_t *)context;
    for (int j = 0; j < 20; j++) {
        out[j] = -wanted[j];
        for (int i = 0; i < 4; i++)
            out[j] = out[j] + matrix[j][i] * theta[i];
    }
}
static uint32_t asked;
int box_open(const float *a, const float *b, const float *start, uint32_t estimator, uint32_t difference,
             uint32_t update, float mu, float rate);
int box_step(uint32_t region, float *theta, float *loss);
uint32_t box_asked(void);
int box_save(void);
int box_load(void);
int box_open(const float *a, const float *b, const float *start, uint32_t estimator, uint32_t difference,
             uint32_t update, float mu, float rate)
{
    uint32_t detail;
    for (int j = 0; j < 80; j++)
        matrix[j / 4][j % 4] = a[j];
    for (int j = 0; j < 20; j++)
        wanted[j] = b[j];
    for (int i = 0; i < 4; i++)
        at[i] = start[i];
    const struct ttzo_black_box box = {
        .ask = residuals_black_box, .context = &asked, .start = at, .n_parameters = 4, .n_losses = 20,
        .gives_residuals = true, .seed = 3, .steps = 20,
        .phase = { .estimator = (uint8_t)estimator, .difference = (uint8_t)difference, .update = (uint8_t)update,
                   .n_queries = 3, .perturb_radius = mu, .learning_rate = rate, .beta1 = 0.5f,
                   .ridge = 1e-3f, .trust_radius = 10.0f },
    };
    asked = 0;
    ttzo_black_box_model(&model, &box);
    return (int)ttzo_open(&trainer, &model, work, sizeof work, &detail);
}
int box_step(uint32_t region, float *theta, float *loss)
{
    struct ttzo_step_result result;
    uint32_t detail;
    int error = (int)ttzo_step(&trainer, (enum ttzo_region)region, &result, &detail);
    for (int i = 0; i < 4; i++)
        theta[i] = trainer.theta[i];
    *loss = result.loss;
    return error;
}
uint32_t box_asked(void) { return asked; }
static bool keep(void *context, const uint8_t *bytes, uint32_t count)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++)
        saved[n_saved++] = bytes[i];
    return true;
}
static bool give(void *context, uint32_t offset, uint8_t *bytes, uint32_t count)
{
    (void)context;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = saved[offset + i];
    return true;
}
int box_save(void)
{
    uint32_t detail;
    n_saved = 0;
    return (int)ttzo_save_run(&trainer, keep, NULL, &detail);
}
int box_load(void)
{
    uint32_t detail;
    return (int)ttzo_load_run(&trainer, give, NULL, &detail);
}
"""


@pytest.fixture(scope="module")
def boxes(c_library):
    return c_library(*CORE, extra=HARNESS)


class LeastSquares:
    """Twenty residuals of four parameters: more than a Gauss-Newton step folds at once."""

    def __init__(self, library, estimator, update=Update.sgd, difference=Difference.antithetic, mu=0.125, rate=0.25):
        rng = np.random.default_rng(2)
        self.library = library
        self.a, self.b, self.theta = (rng.normal(0, 1, n).astype(np.float32) for n in ((20, 4), 20, 4))
        arrays = [ctypes.c_void_p(array.ctypes.data) for array in (self.a, self.b, self.theta)]
        self._check(library.box_open(*arrays, int(estimator), int(difference), int(update), ctypes.c_float(mu),
                                     ctypes.c_float(rate)))  # fmt: skip

    @staticmethod
    def _check(error: int) -> None:
        if error:
            raise DeviceError.from_code(error, 0)

    def step(self, region=Region.collocation) -> tuple[np.ndarray, float]:
        theta, loss = np.zeros(4, np.float32), ctypes.c_float()
        self._check(self.library.box_step(int(region), ctypes.c_void_p(theta.ctypes.data), ctypes.byref(loss)))
        return theta, loss.value


def test_coordinates_of_least_squares_are_their_closed_form(boxes):
    """A central difference of a square is exact, whatever its radius."""
    box = LeastSquares(boxes, Estimator.cge_plain)
    a, b, theta = (part.astype(float) for part in (box.a, box.b, box.theta))
    residuals = a @ theta - b
    found, loss = box.step()
    assert loss == pytest.approx((residuals**2).mean(), rel=1e-6)
    np.testing.assert_allclose(found, theta - 0.25 * 2 * a.T @ residuals / 20, rtol=0, atol=2e-6)
    assert boxes.box_asked() == 1 + 2 * 4


def test_a_saved_run_goes_on_to_the_same_bits(boxes):
    box = LeastSquares(boxes, Estimator.rge, Update.momentum, Difference.one_sided, 1e-2, 0.02)
    for _ in range(5):
        box.step()
    assert boxes.box_save() == 0
    whole = [box.step() for _ in range(5)][-1]
    again = LeastSquares(boxes, Estimator.rge, Update.momentum, Difference.one_sided, 1e-2, 0.02)
    assert boxes.box_load() == 0
    theta, loss = [again.step() for _ in range(5)][-1]
    assert theta.tobytes() == whole[0].tobytes() and loss == whole[1]


def test_gauss_newton_steps_end_in_the_bits_of_the_reference_and_in_the_least_squares(boxes):
    """Three random directions of four parameters a step, and the last two steps."""
    box = LeastSquares(boxes, Estimator.subspace_gn, difference=Difference.one_sided, mu=0.125, rate=1.0)
    phase = Phase(Estimator.subspace_gn, n_queries=3, perturb_radius=0.125, ridge=1e-3, trust_radius=10.0)
    theta, moments = box.theta.copy(), np.zeros(2 * 4 + 1, np.float32)

    def residuals(at):
        made = -box.b
        for column, value in zip(box.a.T, at, strict=True):
            made = made + column * value
        return made

    for step in range(12):
        twin = GaussNewton(BlackBox(4, 20), phase, 3, step, theta, moments, residuals)
        theta, moments, loss, _ = twin.run(np.float32(1))
        found, found_loss = box.step()
        assert found.tobytes() == theta.tobytes() and found_loss == loss
    a, b = box.a.astype(float), box.b.astype(float)
    np.testing.assert_allclose(found, np.linalg.lstsq(a, b, rcond=None)[0], atol=1e-3)


def test_gauss_newton_asks_a_black_box_once_for_each_direction(boxes):
    """At theta, along three directions, and at the step; nothing along steps that were not taken yet."""
    LeastSquares(boxes, Estimator.subspace_gn, difference=Difference.one_sided, mu=0.125, rate=1.0).step()
    assert boxes.box_asked() == 1 + 3 + 1


def test_what_a_black_box_cannot_do_is_refused(boxes):
    with pytest.raises(DeviceError, match="inconsistent"):
        LeastSquares(boxes, Estimator.cge)
    box = LeastSquares(boxes, Estimator.rge)
    for region in (Region.batch, Region.dataset, Region.sparse):
        with pytest.raises(DeviceError):
            box.step(region)
