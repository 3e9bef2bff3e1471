# SPDX-License-Identifier: MIT
"""Texts of an exported library: manifests of five build systems, and its examples."""

# ---- the examples ---------------------------------------------------------------------------------------------------

_SENSOR = """\
static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];
static struct ttzo_trainer trainer;

// One sample: the numbers as the network reads them, and what it should answer. Put your sensor here; this one shows
// a pattern that depends on the class.
static uint32_t read_sample(uint32_t count, float inputs[TTZO_MODEL_INPUTS])
{
    uint32_t label = TTZO_MODEL_CLASSES ? count % (TTZO_MODEL_CLASSES + !TTZO_MODEL_CLASSES) : 0u;
    for (uint32_t i = 0; i < TTZO_MODEL_INPUTS; i++) {
        uint32_t raw = (i * (label + 1u) + count / 16u) % 16u;
        inputs[i] = (float)raw * TTZO_MODEL_INPUT_SCALE + TTZO_MODEL_INPUT_OFFSET;
    }
    return label;
}
"""

TRAIN = (
    _SENSOR
    + """
// One turn of the main loop takes a labelled sample; where that fills the batch, it makes a step, whose loss is `loss`.
static enum ttzo_error take_turn(uint32_t turn, bool *stepped, float *loss, uint32_t *detail)
{
    static float inputs[TTZO_MODEL_INPUTS];
    struct ttzo_step_result result = { 0, 0.0f, 0.0f, 0, 0 };
    uint32_t label = read_sample(turn, inputs);
#if TTZO_MODEL_CLASSES
    enum ttzo_error error =
        ttzo_learn_class(&trainer, inputs, TTZO_MODEL_INPUTS, label, &result, stepped, detail);
#else
    static float outputs[TTZO_MODEL_OUTPUTS]; // the numbers that the network should answer
    enum ttzo_error error = ttzo_learn_outputs(&trainer, inputs, TTZO_MODEL_INPUTS, outputs, TTZO_MODEL_OUTPUTS,
                                               &result, stepped, detail);
    (void)label;
#endif
    *loss = result.loss;
    return error;
}
"""
)

SLICES = (
    _SENSOR
    + """
static struct ttzo_running_step running;
static uint32_t waiting; // samples in the batch

// Takes sample `count` into the batch, which counts when it is full.
static enum ttzo_error take_sample(uint32_t count, uint32_t *detail)
{
    static float inputs[TTZO_MODEL_INPUTS];
    uint32_t label = read_sample(count, inputs);
#if TTZO_MODEL_CLASSES
    enum ttzo_error error = ttzo_set_class(&trainer, TTZO_REGION_BATCH, waiting, 0, label, detail);
#else
    static float outputs[TTZO_MODEL_OUTPUTS]; // the numbers that the network should answer
    enum ttzo_error error = ttzo_set_outputs(&trainer, TTZO_REGION_BATCH, waiting, outputs, TTZO_MODEL_OUTPUTS, detail);
    (void)label;
#endif
    if (!error)
        error = ttzo_set_inputs(&trainer, TTZO_REGION_BATCH, waiting, inputs, TTZO_MODEL_INPUTS, detail);
    if (!error && ++waiting == TTZO_MODEL_BATCH)
        error = ttzo_take_rows(&trainer, TTZO_REGION_BATCH, TTZO_MODEL_BATCH, detail);
    return error;
}

// One turn of the main loop: a sample where the batch has room, else a slice of the step. Turns are short, so that other
// work goes on between them.
static enum ttzo_error take_turn(uint32_t turn, bool *stepped, float *loss, uint32_t *detail)
{
    static uint32_t count;
    struct ttzo_step_result result = { 0, 0.0f, 0.0f, 0, 0 };
    (void)turn;
    if (waiting < TTZO_MODEL_BATCH)
        return take_sample(count++, detail);
    enum ttzo_error error = ttzo_step_slice(&trainer, &running, TTZO_REGION_BATCH, &result, stepped, detail);
    if (*stepped)
        waiting = 0;
    *loss = result.loss;
    return error;
}
"""
)

TRAIN_EQUATION = """\
static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];
static struct ttzo_trainer trainer;

// An equation draws its points itself: each call is a step.
static enum ttzo_error take_turn(uint32_t turn, bool *stepped, float *loss, uint32_t *detail)
{
    struct ttzo_step_result result = { 0, 0.0f, 0.0f, 0, 0 };
    enum ttzo_error error = ttzo_step(&trainer, TTZO_REGION_COLLOCATION, &result, detail);
    (void)turn;
    *stepped = !error;
    *loss = result.loss;
    return error;
}
"""

SLICES_EQUATION = """\
static uint64_t work[(TTZO_MODEL_WORK_BYTES + 7u) / 8u];
static struct ttzo_trainer trainer;
static struct ttzo_running_step running;

// An equation draws its points itself. One turn of the main loop: a slice of a step. Turns are short, so that other work
// goes on between them.
static enum ttzo_error take_turn(uint32_t turn, bool *stepped, float *loss, uint32_t *detail)
{
    struct ttzo_step_result result = { 0, 0.0f, 0.0f, 0, 0 };
    enum ttzo_error error = ttzo_step_slice(&trainer, &running, TTZO_REGION_COLLOCATION, &result, stepped, detail);
    (void)turn;
    *loss = result.loss;
    return error;
}
"""


def main(example: str) -> str:
    """A C program that trains 20 steps and prints each loss and the parameters' CRC-32."""
    return f"""\
// Trains the model from a sensor loop. Written by ttzo; change read_sample where there is one.
#include <inttypes.h>
#include <stdio.h>

#include "model.h"

#define STEPS 20u

{example}
int main(void)
{{
    uint32_t detail = 0;
    enum ttzo_error error = ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail);
    for (uint32_t turn = 0; !error && trainer.state.step < STEPS; turn++) {{
        bool stepped = false;
        float loss = 0.0f;
        error = take_turn(turn, &stepped, &loss, &detail);
        if (stepped)
            printf("step %" PRIu32 " loss %g\\n", trainer.state.step, (double)loss);
    }}
    if (error) {{
        printf("%s %" PRIu32 "\\n", ttzo_error_name(error), detail);
        return 1;
    }}
    printf("parameters %08" PRIx32 "\\n",
           ttzo_crc32(0, (const uint8_t *)trainer.theta, 4u * TTZO_MODEL_N_PARAMETERS));
    return 0;
}}
"""


def sketch(example: str) -> str:
    """The same as an Arduino sketch."""
    return f"""\
// Trains the model from a sensor loop and prints each loss. Written by ttzo; change read_sample where there is one.
#include <ttzo.h>
#include <model.h>

{example}
static uint32_t turn;

void setup()
{{
    Serial.begin(115200);
    uint32_t detail = 0;
    enum ttzo_error error = ttzo_open(&trainer, &ttzo_model, work, sizeof work, &detail);
    if (error)
        Serial.println(ttzo_error_name(error));
}}

void loop()
{{
    uint32_t detail = 0;
    bool stepped = false;
    float loss = 0.0f;
    if (!trainer.model) // refused in setup
        return;
    enum ttzo_error error = take_turn(turn++, &stepped, &loss, &detail);
    if (error)
        Serial.println(ttzo_error_name(error));
    else if (stepped)
        Serial.println(loss, 6);
}}
"""


# ---- manifests ------------------------------------------------------------------------------------------------------

SENTENCE = "Trains a small network on the microcontroller, with forward passes only"
PARAGRAPH = "The runtime of ttzo with one exported model: training, inference and a serial link; no heap, no libm."

CMAKE = """\
# SPDX-License-Identifier: MIT
# add_subdirectory or FetchContent this folder, then: target_link_libraries(firmware PRIVATE ttzo)
cmake_minimum_required(VERSION 3.16)
project(ttzo VERSION %s LANGUAGES C)

file(GLOB TTZO_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/*.c ${CMAKE_CURRENT_SOURCE_DIR}/src/*/*.c)
add_library(ttzo STATIC ${TTZO_SOURCES})
target_include_directories(ttzo PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/src)
target_compile_features(ttzo PUBLIC c_std_99)
target_compile_options(ttzo PRIVATE -ffunction-sections -fdata-sections)

if(CMAKE_CURRENT_SOURCE_DIR STREQUAL CMAKE_SOURCE_DIR)
  add_subdirectory(examples/train)
  add_subdirectory(examples/slices)
endif()
"""

CMAKE_EXAMPLE = """\
# SPDX-License-Identifier: MIT
add_executable(%(name)s main.c)
target_link_libraries(%(name)s PRIVATE ttzo)
"""

ARDUINO = f"""\
name=ttzo
version=%s
author=ttzo
maintainer=ttzo
sentence={SENTENCE}.
paragraph={PARAGRAPH}
category=Data Processing
url=https://arxiv.org/abs/2508.14080
architectures=*
includes=ttzo.h,model.h
"""

KEYWORDS = "ttzo_trainer\tKEYWORD1\nttzo_open\tKEYWORD2\nttzo_learn_class\tKEYWORD2\nttzo_step\tKEYWORD2\nttzo_step_slice\tKEYWORD2\nttzo_infer\tKEYWORD2\n"

PLATFORMIO = {
    "name": "ttzo",
    "description": f"{SENTENCE}. {PARAGRAPH}",
    "keywords": ["machine learning", "training", "tensor train"],
    "license": "MIT",
    "frameworks": "*",
    "platforms": "*",
    "headers": ["ttzo.h", "model.h"],
    "build": {"srcDir": "src", "includeDir": "src"},
    "examples": [
        {"name": "train", "base": "examples/train", "files": ["main.c"]},
        {"name": "slices", "base": "examples/slices", "files": ["main.c"]},
    ],
}

ZEPHYR_MODULE = """\
# SPDX-License-Identifier: MIT
name: ttzo
build:
  cmake: zephyr
  kconfig: zephyr/Kconfig
"""

ZEPHYR_CMAKE = """\
# SPDX-License-Identifier: MIT
if(CONFIG_TTZO)
  zephyr_library_named(ttzo)
  file(GLOB TTZO_SOURCES ${CMAKE_CURRENT_LIST_DIR}/../src/*.c ${CMAKE_CURRENT_LIST_DIR}/../src/*/*.c)
  zephyr_library_sources(${TTZO_SOURCES})
  zephyr_include_directories(${CMAKE_CURRENT_LIST_DIR}/../src)
endif()
"""

ZEPHYR_KCONFIG = f"""\
# SPDX-License-Identifier: MIT
config TTZO
    bool "ttzo: training on the device"
    help
      {SENTENCE}.
"""

ZEPHYR_SAMPLE = """\
# SPDX-License-Identifier: MIT
cmake_minimum_required(VERSION 3.20)
list(APPEND ZEPHYR_EXTRA_MODULES ${CMAKE_CURRENT_SOURCE_DIR}/../..)
find_package(Zephyr REQUIRED HINTS $ENV{ZEPHYR_BASE})
project(%(name)s)
target_sources(app PRIVATE src/main.c)
"""

ZEPHYR_CONFIG = "CONFIG_TTZO=y\nCONFIG_FPU=y\nCONFIG_CBPRINTF_FP_SUPPORT=y\nCONFIG_MAIN_STACK_SIZE=8192\n"

ESP_MANIFEST = f"""\
version: "%s"
description: {SENTENCE}
url: https://arxiv.org/abs/2508.14080
license: MIT
dependencies:
  idf: ">=5.0"
"""

ESP_CMAKE = """\
# SPDX-License-Identifier: MIT
idf_component_register(SRC_DIRS "src" %s INCLUDE_DIRS "src")
"""

ESP_PROJECT = """\
# SPDX-License-Identifier: MIT
cmake_minimum_required(VERSION 3.16)
include($ENV{IDF_PATH}/tools/cmake/project.cmake)
project(%(name)s)
"""

ESP_MAIN = 'idf_component_register(SRCS "main.c" INCLUDE_DIRS ".")\n'

ESP_DEPENDENCY = """\
dependencies:
  ttzo:
    version: "*"
    override_path: "../../../"
"""
