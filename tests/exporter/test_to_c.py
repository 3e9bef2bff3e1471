# SPDX-License-Identifier: MIT
"""model.c and model.h: warning-free C99 that holds the plan's numbers bit for bit."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from ttzo.device_runtime import FOLDER
from ttzo.device_runtime.contract import Activation, BundleHeader, Estimator, LayerKind, Loss, Schedule, Update
from ttzo.exporter.operations.layer import Layer
from ttzo.exporter.plan.loss_options import LossOptions
from ttzo.exporter.plan.plan import Plan
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.to_c import c_files

STRICT = [
    "-std=c99",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wdouble-promotion",
    "-Wmissing-prototypes",
    "-Wundef",
    "-Werror",
]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-45, -1.1754942e-38, 3.4028235e38, 1 / 3, 16777216.0, 1e-7]

# Writes the compiled model in the bundle's own order and packing: hash, then all records, then theta.
READER = """\
#include <stdio.h>
#include "model.h"

int main(void)
{
    static uint8_t bytes[256];
    fwrite(ttzo_model.hash, 1, TTZO_HASH_BYTES, stdout);
    ttzo_pack_model_info(&ttzo_model.info, bytes);
    fwrite(bytes, 1, TTZO_MODEL_INFO_BYTES, stdout);
    ttzo_pack_training(&ttzo_model.training, bytes);
    fwrite(bytes, 1, TTZO_TRAINING_BYTES, stdout);
    for (unsigned i = 0; i < TTZO_MAX_PHASES; i++) {
        ttzo_pack_phase(&ttzo_model.phases[i], bytes);
        fwrite(bytes, 1, TTZO_PHASE_BYTES, stdout);
    }
    if (ttzo_model.info.has_loss_section) {
        ttzo_pack_loss_info(&ttzo_model.loss, bytes);
        fwrite(bytes, 1, TTZO_LOSS_INFO_BYTES, stdout);
    }
    for (unsigned i = 0; i < ttzo_model.loss.n_class_weights; i++) {
        ttzo_put_f32(bytes, ttzo_model.class_weights[i]);
        fwrite(bytes, 1, 4, stdout);
    }
    for (unsigned i = 0; i < ttzo_model.info.n_layers; i++) {
        ttzo_pack_layer(&ttzo_model.layers[i], bytes);
        fwrite(bytes, 1, TTZO_LAYER_BYTES, stdout);
    }
    for (unsigned i = 0; i < ttzo_model.info.n_parameters; i++) {
        ttzo_put_f32(bytes, ttzo_model.parameters[i]);
        fwrite(bytes, 1, 4, stdout);
    }
    return 0;
}
"""


def two_phase_plan(**changes):
    layers = (
        Layer("in\\", LayerKind.tt_matrix, 12, 8, 0, True, Activation.relu, (3, 4), (4, 2), (1, 3, 1)),
        Layer("mid ??/", LayerKind.tt_tensor, 8, 6, 68, True, Activation.sine, (2, 4), (6,), (1, 2, 2, 1)),
        Layer("out", LayerKind.dense, 6, 4, 106, False),
    )
    theta = np.random.default_rng(3).standard_normal(130).astype(np.float32)
    theta[: len(SPECIAL)] = SPECIAL
    phases = (
        Phase(update=Update.sign, perturb_radius=1e-3),
        Phase(estimator=Estimator.cge, update=Update.ema_momentum, learning_rate=0.1, clip_norm=1.0),
    )
    training = Training(phases, seed=2**64 - 1, steps=2**32 - 1, schedule=Schedule.cosine, decay_factor=0.9)
    settings = {"training": training, "input_scale": 1 / 255, "metadata": {"name": 'odd "name"\n*/'}}
    settings["loss_options"] = LossOptions(class_weights=(1.0, 0.0, 1 / 3, 2.5))
    return Plan.of_layers(layers, theta, Loss.cross_entropy, **settings | changes)


@pytest.fixture
def folder(tmp_path):
    for name, text in c_files(two_phase_plan()).items():
        (tmp_path / name).write_text(text, encoding="ascii")
    (tmp_path / "reader.c").write_text(READER)
    return tmp_path


def run(*command):
    return subprocess.run([*map(str, command)], check=True, capture_output=True).stdout


@pytest.mark.parametrize("flag", ["-DTTZO_COMPACT=0", "-DTTZO_COMPACT=1"])
def test_compiled_model_holds_the_bundles_bytes(folder, flag):
    program = folder / "reader"
    run("gcc", *STRICT, flag, "-I", FOLDER, "-o", program, folder / "model.c", folder / "reader.c")
    plan = two_phase_plan()
    bundle = to_bundle.write(plan)
    header = BundleHeader.unpack(bundle)
    body = bundle[BundleHeader.SIZE : len(bundle) - header.metadata_bytes - 4]
    assert run(program) == header.hash + body


@pytest.mark.skipif(not shutil.which("arm-none-eabi-gcc"), reason="needs the Arm cross compiler")
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m0"])
def test_arm_compiler_puts_the_same_parameters_into_flash(folder, core):
    made, raw = folder / "model.o", folder / "parameters.bin"
    options = [*STRICT, f"-mcpu={core}", "-mthumb", "-fdata-sections", "-I", FOLDER]
    run("arm-none-eabi-gcc", *options, "-c", "-o", made, folder / "model.c")
    section = ".rodata.ttzo_model_parameters"
    run("arm-none-eabi-objcopy", "-O", "binary", "-j", section, made, raw)
    assert raw.read_bytes() == two_phase_plan().parameters.tobytes()
    sizes = run("arm-none-eabi-size", "-A", made).decode()
    assert not any(
        line.startswith((".data", ".bss", ".text")) and line.split()[1] != "0" for line in sizes.splitlines()
    )


def test_equal_plans_give_equal_text_and_other_parameters_another_hash():
    plan, moved = two_phase_plan(), two_phase_plan()
    assert c_files(plan) == c_files(two_phase_plan())
    moved.parameters[5] *= -1
    hashes = [re.search(r"\.hash = .*", c_files(each)["model.c"]).group() for each in (plan, moved)]
    assert hashes[0] != hashes[1]


def test_the_text_names_every_tensor_with_shape_and_offset():
    text = c_files(two_phase_plan())["model.c"]
    for line in ("// in_.core0: 1 x 4 x 3 x 3, from 0", "// in_.bias: 8, from 60", "// out.weight: 4 x 6, from 106"):
        assert line in text
    assert ".update = TTZO_UPDATE_EMA_MOMENTUM" in text and ".kind = TTZO_LAYER_KIND_TT_TENSOR" in text


def test_names_of_classes_are_c_strings_whatever_they_hold(tmp_path):
    """Printed by a C program, byte for byte."""
    labels = ["walk", 'a"b\\n%d??/', "Spülen 1", "*/"]
    layer = Layer("only", LayerKind.dense, 3, 4, 0)
    plan = Plan.of_layers(
        (layer,),
        np.zeros(16, np.float32),
        Loss.cross_entropy,
        Training(),
        2,
        metadata={"preparation": {"labels": labels}},
    )
    for name, text in c_files(plan).items():
        (tmp_path / name).write_text(text)
    main = '#include <stdio.h>\n#include "model.h"\nint main(void) { for (unsigned i = 0; i < TTZO_MODEL_CLASSES; i++) puts(ttzo_model_class_names[i]); return 0; }\n'
    (tmp_path / "main.c").write_text(main)
    command = ["cc", *STRICT, "-trigraphs", f"-I{FOLDER}", f"-I{tmp_path}", "main.c", "model.c", "-o", "names"]
    subprocess.run(command, cwd=tmp_path, check=True)
    ran = subprocess.run([tmp_path / "names"], capture_output=True, check=True)
    assert ran.stdout.decode().splitlines() == labels
