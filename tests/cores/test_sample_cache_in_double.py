# SPDX-License-Identifier: MIT
"""The C runtime's sharing of environments, compiled in double precision, against one loss evaluation for each parameter.

`float` is compiled as `double`, with the C library's elementary functions in the place of real.c: what the estimate
leaves against brute force is then the algorithm's, not float32's.
"""

import ctypes
import dataclasses

import numpy as np
import pytest
from plans import random_plan, random_rows
from test_sample_cache import plain_cge

from ttzo.device_runtime import FOLDER, core_sources
from ttzo.device_runtime.contract import Difference, Estimator, Loss, Number
from ttzo.exporter.costs.core_memory import core_gradient_numbers
from ttzo.exporter.operations.layer_records import layer_record
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.host_tools.reference.network.network import read_inputs

ROOMS = ("model", "network", "operations", "cores")
SOURCES = (
    *(str(path.relative_to(FOLDER)) for path in core_sources() if path.parent.name in ROOMS),
    "number/quotient.c",
    "number/random.c",
)
IN_DOUBLE = (
    "-Wno-double-promotion",
    "-Dfloat=double",
    "-DTTZO_FLOAT32=_Float32",
    "-Wno-float-conversion",
    "-DTTZO_SIZE_BITS=uint64_t",
    "-DTTZO_TILE=1",
    "-DTTZO_SMALL_SQUARES=0.0",
    "-DTTZO_TANH_IS_ITSELF=0",
)
HARNESS = """
#include "cores/row_estimate.h"
#include "number/real.h"
double erf(double), exp(double), expm1(double), log(double), log1p(double), tanh(double), sqrt(double), sin(double), cos(double);
float ttzo_exp(float x) { return exp(x); }
float ttzo_expm1(float x) { return expm1(x); }
float ttzo_log(float x) { return log(x); }
float ttzo_log1p(float x) { return log1p(x); }
float ttzo_tanh(float x) { return tanh(x); }
float ttzo_sqrt(float x) { return sqrt(x); }
float ttzo_sin(float x) { return sin(x); }
float ttzo_cos(float x) { return cos(x); }
float ttzo_sigmoid(float x) { return 1 / (1 + exp(-x)); }
float ttzo_erf(float x) { return erf(x); }
float ttzo_gelu(float x) { return 0.5 * x * (1 + erf(x / sqrt(2.0))); }
void ttzo_sin_cos_turns(float turns, float *sine, float *cosine) { *sine = sin(turns), *cosine = cos(turns); }
bool ttzo_is_finite(float x) { return x - x == 0.0; }
int gradient_in_double(const uint8_t *info, const uint8_t *layers, uint32_t n_parameters, uint32_t difference, float mu,
                       float scale, float offset, float *theta, float *area, uint8_t *rows, uint32_t row_bytes,
                       float *gradient);
int gradient_in_double(const uint8_t *info, const uint8_t *layers, uint32_t n_parameters, uint32_t difference, float mu,
                       float scale, float offset, float *theta, float *area, uint8_t *rows, uint32_t row_bytes,
                       float *gradient)
{
    static struct ttzo_layer unpacked[TTZO_MAX_LAYERS];
    uint32_t numbers[64] = { 0 }, evaluations;
    struct ttzo_model model = { .layers = unpacked };
    struct ttzo_trainer trainer = { .model = &model, .theta = theta, .gradient = gradient, .cache_area = area,
                                    .batch_rows = numbers, .row_bytes = row_bytes };
    const struct ttzo_phase phase = { .estimator = TTZO_ESTIMATOR_CGE, .difference = (uint8_t)difference,
                                      .perturb_radius = mu };
    struct ttzo_rows all = { .bytes = rows };
    struct ttzo_row_estimate estimate;
    enum ttzo_error error = TTZO_ERROR_OK;
    float loss;
    model.info = (struct ttzo_model_info){ .n_parameters = n_parameters, .batch = info[0], .n_layers = info[1],
                                           .in_features = info[2], .out_features = info[3],
                                           .input_scale = scale, .input_offset = offset };
    model.training.n_phases = 1;
    model.phases[0] = phase;
    for (uint32_t l = 0; l < model.info.n_layers; l++)
        ttzo_unpack_layer(layers + l * TTZO_LAYER_BYTES, &unpacked[l]);
    for (uint32_t j = 0; j < model.info.batch; j++)
        numbers[j] = j;
    ttzo_row_estimate_begin(&estimate, &trainer, &all, &phase);
    while (!error && !ttzo_row_estimate_is_complete(&estimate))
        error = ttzo_row_estimate_next(&estimate);
    return (int)(error ? error : ttzo_row_estimate_end(&estimate, &loss, &evaluations));
}
"""


def gradient(library: ctypes.CDLL, plan: Plan, phase: Phase, rows: np.ndarray) -> np.ndarray:
    """The library's estimate in double precision."""
    theta, area = plan.parameters.astype(np.float64), np.zeros(core_gradient_numbers(plan))
    made = np.zeros_like(theta)
    info = bytes([plan.batch, len(plan.layers), plan.in_features, plan.out_features])
    layers = b"".join(layer_record(layer).pack() for layer in plan.layers)
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (theta, area, rows, made)]
    numbers = [
        ctypes.c_double(float(np.float32(x))) for x in (phase.perturb_radius, plan.input_scale, plan.input_offset)
    ]
    error = library.gradient_in_double(
        info, layers, plan.n_parameters, int(phase.difference), *numbers, *pointers[:3], rows.shape[1], pointers[3]
    )
    assert error == 0
    return made


@pytest.mark.parametrize("difference", Difference)
@pytest.mark.parametrize("seed", range(500, 525))
def test_the_runtime_in_double_precision_equals_one_loss_evaluation_for_each_parameter(c_library, seed, difference):
    library = c_library(*SOURCES, extra=HARNESS, flags=IN_DOUBLE)
    rng = np.random.default_rng(seed)
    phase = Phase(Estimator.cge, difference=difference, perturb_radius=2.0**-10)
    plan = random_plan(rng, Training((phase,)), 3, loss=Loss.cross_entropy, gathers=False)
    plan = dataclasses.replace(plan, input_number=Number.uint8, input_scale=1 / 128, input_offset=-0.5)
    rows = random_rows(rng, plan, plan.batch)
    x, classes = rows[:, : plan.in_features], rows[:, plan.in_features :].copy().view("<u2")[:, 0].astype(np.int64)
    inputs = read_inputs(plan, x).astype(np.float64)  # exact in float32
    expected = plain_cge(plan, phase, plan.parameters.astype(np.float64), inputs, classes)
    # plain differences of losses near 1 round to 1e-16 / mu = 1e-13; the runtime's own lose less
    found = gradient(library, plan, phase, rows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * max(1, np.abs(expected).max()))
