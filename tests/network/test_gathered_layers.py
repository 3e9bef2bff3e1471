# SPDX-License-Identifier: MIT
"""Convolutions and embeddings, dense and as tensor trains: torch, plan, NumPy, C, ONNX and TFLite compute the same."""

import dataclasses
import zlib

import numpy as np
import onnxruntime
import pytest
from devices import connect, fill, native, read_parameters
from firmware import needs_compiler, needs_qemu, write_bundle
from plans import layer_in_double, random_rows
from runtime import CORE, RUN, Runtime

from ttzo.device_runtime.contract import (
    Arithmetic,
    BundleHeader,
    Combine,
    DeviceError,
    Estimator,
    Loss,
    ModelInfo,
    Number,
    PhaseRecord,
    Region,
    TrainingRecord,
    Update,
)
from ttzo.exporter.costs import memory
from ttzo.exporter.costs.cost import macs_a_step
from ttzo.exporter.operations.gathering import Patches, Tokens
from ttzo.exporter.operations.layer import PlanError
from ttzo.exporter.plan.training import Phase, Training
from ttzo.exporter.readers.from_torch import ExportError, load_into_module, plan_from_module
from ttzo.exporter.readers.nn import Tokens as TokenRow
from ttzo.exporter.readers.nn import TTConv2d, TTEmbedding, TTLinear, torch
from ttzo.exporter.writers import to_bundle
from ttzo.exporter.writers.onnx.to_onnx import forward_graph, loss_graph
from ttzo.exporter.writers.to_tflite import tflite_bytes
from ttzo.host_tools.data import data_set
from ttzo.host_tools.device import qemu
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.measure import precision
from ttzo.host_tools.reference.network.network import forward
from ttzo.host_tools.reference.train.numpy_network import NumpyNetwork
from ttzo.host_tools.reference.train.trainer import Trainer

nn = torch.nn
FORMATS = ("matrix", "tensor")

# Chains of at most 75 products of numbers of size 1, through three layers: 6e-8 sqrt(75) 3, with a reserve of 10.
BOUND = 2e-5


@pytest.fixture(scope="module")
def core(c_library):
    return c_library(*CORE, extra=RUN)


# ---- the torch modules in double precision --------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, 0), ((2, 5), (2, 1), (1, 3)), (5, 2, 2), (1, 3, 0)], ids=str
)
def test_tt_conv2d_is_the_convolution_with_its_rebuilt_kernel(format, kernel, stride, padding):
    torch.manual_seed(3)
    module = TTConv2d(6, 8, kernel, stride, padding, ranks=3, format=format).double()
    nn.init.normal_(module.bias)
    x = torch.randn(4, 6, 9, 7, dtype=torch.float64)
    wanted = nn.functional.conv2d(x, module.kernel(), module.bias, stride, padding)
    assert (module(x) - wanted).abs().max() < 1e-10


def test_tt_conv2d_takes_a_dense_kernel_over_at_full_rank():
    torch.manual_seed(4)
    conv = nn.Conv2d(4, 6, 3, 2, 1).double()
    module = TTConv2d.from_conv2d(conv, in_modes=(4, 9), out_modes=(2, 3), ranks=8).double()
    x = torch.randn(2, 4, 8, 8, dtype=torch.float64)
    # the cores are float32: 36 products of numbers of size 1
    assert (module(x) - conv(x)).abs().max() < 1e-5 and module.relative_error < 1e-6


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("padding", [None, 5])
def test_tt_embedding_is_the_lookup_in_its_rebuilt_table(format, padding):
    torch.manual_seed(3)
    tokens = torch.randint(0, 30, (7, 4))
    tokens[2] = 5
    made = {}
    for mode in Combine.__members__:
        module = TTEmbedding(30, 12, mode, padding, ranks=3, format=format).double()
        made[mode] = module(tokens)
        table = module.table()
        vectors = table[tokens] * (tokens != (-1 if padding is None else padding))[..., None]
        if mode == "each":
            wanted = vectors
        else:
            bag = nn.EmbeddingBag.from_pretrained(table, mode=mode, padding_idx=padding)
            wanted = bag(tokens)
        assert (made[mode] - wanted).abs().max() < 1e-10
    if padding == 5:
        assert not made["mean"][2].any()  # the mean of no token


def test_a_tt_embedding_starts_like_torchs_own():
    torch.manual_seed(0)
    table = TTEmbedding(4096, 64, ranks=8, gain=0.5).table()
    assert abs(table.std().item() - 0.5) < 0.01  # the drawn train is scaled to it, except for its mean


# ---- one network, everywhere ----------------------------------------------------------------------------------------


def strided():
    """A dense and a TT kernel, images that are not square, borders."""
    return nn.Sequential(
        nn.Unflatten(1, (3, 7, 9)), nn.Conv2d(3, 3, 3, 2, 1), nn.ReLU(),
        TTConv2d(3, 4, (2, 3), (1, 2), in_modes=(3, 6), out_modes=(2, 2), ranks=3), nn.Tanh(), nn.Flatten(), nn.Linear(24, 5),
    )  # fmt: skip


def overlapping():
    return nn.Sequential(
        nn.Unflatten(1, (3, 5, 6)), TTConv2d(3, 6, 5, padding=2, ranks=3, format="tensor", bias=False), nn.ReLU(),
        nn.Conv2d(6, 2, (5, 1), padding="valid", bias=False), nn.Flatten(), TTLinear(12, 5, ranks=2),
    )  # fmt: skip


def embedding(mode, padding=None, format="matrix"):
    def make():
        width = 36 if mode == "each" else 6
        parts = [
            TTEmbedding(24, 6, mode, padding, ranks=3, format=format),
            nn.Flatten(),
            nn.Tanh(),
            nn.Linear(width, 5),
        ]
        return nn.Sequential(TokenRow(6), *parts)

    return make


NETWORKS = {
    "strided": strided,
    "overlapping": overlapping,
    "each": embedding("each"),
    "each, tensor, padded": embedding("each", 2, "tensor"),
    "sum, tensor": embedding("sum", None, "tensor"),
    "sum, padded": embedding("sum", 0),
    "mean": embedding("mean"),
    "mean, tensor, padded": embedding("mean", 23, "tensor"),
    "Embedding": lambda: nn.Sequential(TokenRow(6), nn.Embedding(24, 6, 3), nn.Flatten(), nn.Linear(36, 5)),
    "EmbeddingBag": lambda: nn.Sequential(TokenRow(6), nn.EmbeddingBag(24, 6, mode="mean", padding_idx=3), nn.Linear(6, 5)),
}  # fmt: skip


def plan_of(module, **settings):
    reads_tokens = isinstance(module[0], TokenRow)
    return plan_from_module(module, input_number=Number.int16 if reads_tokens else Number.float32, batch=7, **settings)


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(1)
    module = NETWORKS[request.param]()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(std=0.3)
    plan = plan_of(module)
    return module, to_bundle.read(to_bundle.write(plan))


def inputs(plan, n, seed=0):
    rng = np.random.default_rng(seed)
    if not plan.n_tokens:
        return rng.normal(size=(n, plan.in_features)).astype(np.float32)
    x = rng.integers(0, plan.n_tokens, (n, plan.in_features)).astype(np.float32)
    padding = plan.layers[0].gather.padding
    x[0] = x[0, 0] if padding is None else padding
    return x


def test_the_plan_holds_what_the_module_holds(network):
    module, plan = network
    sizes = sorted(parameter.numel() for parameter in module.parameters())
    assert sorted(tensor.size for tensor in plan.tensors) == sizes
    in_double, x = inputs(plan, 5).astype(np.float64), inputs(plan, 5)
    for layer in plan.layers:
        in_double = layer_in_double(plan.parameters, layer, in_double)
    with torch.no_grad():
        wanted = module.double()(torch.from_numpy(x).double()).numpy()
    assert np.abs(in_double - wanted).max() < 1e-10


def test_numpy_onnx_and_tflite_agree_with_torch(network):
    module, plan = network
    x = inputs(plan, 7)
    with torch.no_grad():
        wanted = module(torch.from_numpy(x)).numpy()
    session = onnxruntime.InferenceSession(forward_graph(plan).SerializeToString(), providers=["CPUExecutionProvider"])
    assert np.abs(forward(plan, plan.parameters, x) - wanted).max() < BOUND
    assert np.abs(session.run(None, {"x": x})[0] - wanted).max() < BOUND
    assert np.abs(interpreted(tflite_bytes(plan), x) - wanted).max() < BOUND


def interpreted(model, x):
    """Outputs of a .tflite file by its plain reference kernels."""
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(
        model_content=model, experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF
    )
    source, sink = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(source["index"], x.shape, strict=True)
    interpreter.allocate_tensors()
    interpreter.set_tensor(source["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(sink["index"])


def test_losses_of_onnx_stay_within_the_rounding_bound(network):
    _, plan = network
    x, y = inputs(plan, 7), np.random.default_rng(1).integers(0, 5, 7)
    session = onnxruntime.InferenceSession(loss_graph(plan).SerializeToString(), providers=["CPUExecutionProvider"])
    tensors = {t.name: plan.parameters[t.offset : t.offset + t.size].reshape(t.shape) for t in plan.tensors}
    here = NumpyNetwork(plan).losses(plan.parameters, x, y).mean()
    there = session.run(["loss"], tensors | {"x": x, "y": y})[0]
    bound = precision.loss_bound(plan, plan.parameters, x, y)
    assert abs(here - there) <= bound < 1e-2
    assert abs(here - precision.losses64(plan, plan.parameters, x, y).mean()) <= bound


def test_c_and_numpy_predict_and_train_to_the_same_bits(core, network):
    _, plan = network
    phase = Phase(Estimator.rge, update=Update.adam, n_queries=4, learning_rate=0.05)
    plan = plan.with_training(Training((phase,), seed=3))
    rows = random_rows(np.random.default_rng(0), plan, plan.batch)
    device, reference = Runtime(core, plan), Trainer(plan)
    for trainer in (device, reference):
        trainer.write(Region.batch, 0, rows.tobytes())
        trainer.commit(Region.batch, rows.size, zlib.crc32(rows.tobytes()))
    for row in range(plan.batch):
        assert device.predict(row).tobytes() == reference.predict(row).tobytes()
    for _ in range(4):
        device.step(Region.batch)
        reference.step(Region.batch)
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert device.macs == 4 * 5 * plan.batch * plan.macs


def test_trained_parameters_come_back_into_the_module(network):
    module, plan = network
    theta = np.random.default_rng(5).normal(size=plan.n_parameters).astype(np.float32)
    trained = dataclasses.replace(plan, parameters=theta)
    padded = [part for part in module if isinstance(part, nn.Embedding)]
    if padded:
        at = padded[0].padding_idx
        theta[: 24 * 6].reshape(6, 24)[:, at] = 0
    load_into_module(module, trained)
    assert plan_of(module).parameters.tobytes() == theta.tobytes()


# ---- coordinate by coordinate ---------------------------------------------------------------------------------------


def batch_rows(plan, seed=0):
    return random_rows(np.random.default_rng(seed), plan, plan.batch)


def put(trainer, rows):
    trainer.write(Region.batch, 0, rows.tobytes())
    trainer.commit(Region.batch, rows.size, zlib.crc32(rows.tobytes()))


@pytest.mark.parametrize("estimator", [Estimator.cge, Estimator.cocd])
def test_shared_queries_of_a_network_train_to_the_same_bits_in_c_and_numpy(core, network, estimator):
    phase = Phase(estimator, update=Update.adam, learning_rate=0.05, n_coordinates=31)
    plan = network[1].with_training(Training((phase,)))
    device, reference = Runtime(core, plan), Trainer(plan)
    for trainer in (device, reference):
        put(trainer, batch_rows(plan))
        for _ in range(3):
            trainer.step(Region.batch)
    assert device.theta.tobytes() == reference.theta.tobytes()
    assert device.state == reference.state


def test_shared_queries_give_the_gradient_of_torch(core, network):
    module, plan = network
    phase = Phase(Estimator.cge, update=Update.sgd, learning_rate=1.0, perturb_radius=1e-4)
    plan, rows = plan.with_training(Training((phase,))), batch_rows(plan)
    device = Runtime(core, plan)
    put(device, rows)
    device.step(Region.batch)
    kind = "<i2" if plan.n_tokens else "<f4"
    x = np.ascontiguousarray(rows[:, :-2]).view(kind).astype(np.float32)
    y = np.ascontiguousarray(rows[:, -2:]).view("<u2")[:, 0].astype(np.int64)
    module.zero_grad()
    nn.functional.cross_entropy(module(torch.from_numpy(x)), torch.from_numpy(y)).backward()
    held = {name: parameter.grad for name, parameter in module.named_parameters()}
    wanted = np.concatenate(
        [
            (held[t.name].T if "mbedding" in type(module[1]).__name__ and t.name == "1.weight" else held[t.name])
            .numpy()
            .ravel()
            for t in plan.tensors
        ]
    )
    found = plan.parameters - device.theta
    # mu times half a second derivative (1e-4 of numbers near 1), and theta's own rounding of 6e-8 of numbers near 3
    np.testing.assert_allclose(found, wanted, rtol=0, atol=5e-4 * max(1, np.abs(wanted).max()))


def test_the_forecast_is_exact_where_nothing_is_zero(core):
    """A weight of the first convolution goes on through its own channel alone."""
    module = nn.Sequential(
        nn.Unflatten(1, (2, 7, 6)), nn.Conv2d(2, 3, 3, 2, 1), nn.Conv2d(3, 5, 2), nn.Flatten(), nn.Linear(30, 4)
    )
    phase = Phase(Estimator.cge, update=Update.sgd)
    plan = plan_from_module(module, loss=Loss.mse, input_number=Number.float32, batch=2, training=Training((phase,)))
    device = Runtime(core, plan)
    put(device, batch_rows(plan))
    device.step(Region.batch)
    behind_first = (
        5 * 6 * 4 * 1 + 5 * 6 * 4
    )  # a channel through the second convolution, all of it through the last layer
    behind_second = 6 * 4
    queries = (3 * 18 + 3) * behind_first + (5 * 12 + 5) * behind_second
    assert device.macs == macs_a_step(plan, phase) == 2 * (plan.macs + queries)


def test_what_coordinate_wise_queries_do_not_reach_is_refused():
    module = NETWORKS["strided"]()
    for estimator in (Estimator.node_cge, Estimator.chain_differences, Estimator.block_rge):
        with pytest.raises(PlanError, match=f"{estimator.name} does not support convolutions"):
            plan_of(module, training=Training((Phase(estimator),)))
    wide = nn.Sequential(
        nn.Unflatten(1, (1, 13, 13)), nn.Conv2d(1, 1, 1), nn.Flatten(), TTLinear(169, 100, ranks=2), nn.Linear(100, 2)
    )
    with pytest.raises(PlanError, match="more than 16384 weights multiplied out"):
        plan_of(wide, training=Training((Phase(Estimator.cge),)))


# ---- on the board ---------------------------------------------------------------------------------------------------


def on_native(plan, folder, rows, steps):
    with native(build.build_native(Arithmetic.separate), plan, folder) as url:
        return trained(url, plan, rows, steps)


def trained(url, plan, rows, steps):
    with connect(url) as link:
        link.hello()
        for step in range(steps):
            fill(link, Region.batch, rows.tobytes())
            reply, _ = link.request("step", step=step, region=Region.batch, timeout=60)
        return read_parameters(link, plan), reply


@needs_compiler
@needs_qemu
@pytest.mark.parametrize("estimator", [Estimator.rge, Estimator.cge])
@pytest.mark.parametrize("name", ["strided", "mean, tensor, padded"])
def test_board_and_native_train_to_the_same_bits(tmp_path, name, estimator):
    torch.manual_seed(2)
    phase = Phase(estimator, update=Update.momentum, n_queries=3)
    plan = plan_of(NETWORKS[name](), training=Training((phase,), seed=7))
    rows, board = random_rows(np.random.default_rng(0), plan, plan.batch), boards.load("netduinoplus2")
    report = build.build(write_bundle(tmp_path / "bundle", plan), board)
    with qemu.emulated(board, report.elf) as emulation:
        on_board = trained(emulation.url, plan, rows, 3)
    assert on_native(plan, tmp_path, rows, 3) == on_board
    assert on_board[0] != plan.parameters.tobytes()


# ---- what is refused ------------------------------------------------------------------------------------------------


IMAGE = nn.Unflatten(1, (2, 4, 4))
REFUSED = {
    "no image": ([nn.Conv2d(2, 3, 3)], "does not say what a row of its input looks like"),
    "flattened image": ([IMAGE, nn.Flatten(), nn.Conv2d(2, 3, 3)], "cannot trace the model"),
    "channels": ([IMAGE, nn.Conv2d(3, 3, 3)], "takes 3 channels, but there are 2"),
    "groups": ([IMAGE, nn.Conv2d(2, 4, 3, groups=2)], r"ends in an array \[4, 2, 2\]"),
    "even same": ([IMAGE, nn.Conv2d(2, 4, 2, padding="same")], r"ends in an array \[4, 4, 4\]"),
    "linear on an image": ([IMAGE, nn.Conv2d(2, 3, 3), nn.Linear(2, 2)], r"ends in an array \[3, 2, 2\]"),
    "ends in an image": ([IMAGE, nn.Conv2d(2, 3, 3)], "ends in an array"),
    "too large a kernel": ([IMAGE, nn.Conv2d(2, 3, 5), nn.Flatten()], "larger than the padded image"),
    "rows of rows": ([nn.Unflatten(1, (2, 4)), nn.Linear(4, 2)], r"ends in an array \[2, 2\]"),
    "no tokens": ([nn.EmbeddingBag(5, 3)], "gets no token numbers"),
    "late tokens": ([nn.Linear(4, 4), TokenRow(4), nn.EmbeddingBag(5, 3)], "comes after layer"),
    "linear on tokens": ([TokenRow(4), nn.Linear(4, 2)], "gets token numbers"),
    "largest": ([TokenRow(4), nn.EmbeddingBag(5, 3, mode="max")], "has the mode max"),
    "norm": ([TokenRow(4), nn.Embedding(5, 3, max_norm=1.0), nn.Flatten()], "changes its table"),
    "sequence": ([TokenRow(4), nn.Embedding(5, 3), nn.Linear(3, 2)], r"ends in an array \[4, 2\]"),
}  # fmt: skip


@pytest.mark.parametrize("parts", REFUSED)
def test_what_cannot_be_exported_is_refused_by_name(parts):
    with pytest.raises((ExportError, PlanError), match=REFUSED[parts][1]):
        plan_from_module(nn.Sequential(*REFUSED[parts][0]))


def test_a_padding_vector_that_is_not_zero_is_refused():
    table = nn.Embedding(5, 3, padding_idx=1)
    nn.init.ones_(table.weight)
    with pytest.raises(ExportError, match="padding vector that is not zero"):
        plan_from_module(nn.Sequential(TokenRow(4), table, nn.Flatten()))


def test_tokens_travel_as_whole_numbers_that_the_model_knows(core):
    module = NETWORKS["mean"]()
    with pytest.raises(PlanError, match="scale 1 and offset 0"):
        plan_from_module(module, input_scale=0.5)
    with pytest.raises(PlanError, match="uint8 or int16"):
        plan_from_module(module, input_number=Number.float32)
    with pytest.raises(PlanError, match="has 300 tokens, but uint8 inputs can name only 256"):
        plan_from_module(nn.Sequential(TokenRow(2), nn.EmbeddingBag(300, 2)))
    plan = plan_of(module)
    rows = random_rows(np.random.default_rng(0), plan, plan.batch)
    rows[4, 2:4] = np.frombuffer(np.int16(24).tobytes(), np.uint8)
    for trainer in (Runtime(core, plan), Trainer(plan)):
        trainer.write(Region.batch, 0, rows.tobytes())
        with pytest.raises(DeviceError, match="row 4 has a token") as refused:
            trainer.commit(Region.batch, rows.size, zlib.crc32(rows.tobytes()))
        assert (refused.value.name, refused.value.detail) == ("bad_token", 4)


def test_unknown_tokens_of_a_data_set_are_named(tmp_path):
    plan = plan_of(NETWORKS["mean"]())
    x = np.zeros((4, 6), int)
    x[3, 1] = 24
    np.savez(tmp_path / "rows.npz", x_train=x, y_train=np.zeros(4, int))
    with pytest.raises(data_set.DataError, match=r"x_train\[3\] has the token 24, the model knows 0 to 23"):
        data_set.load(tmp_path / "rows.npz", plan)


def test_a_damaged_geometry_is_refused_by_the_device(core):
    """Every single byte of a layer's record changed: the model is refused, or it is one that can be run."""
    plan = plan_of(NETWORKS["strided"]())
    start = BundleHeader.SIZE + ModelInfo.SIZE + TrainingRecord.SIZE + 2 * PhaseRecord.SIZE
    sound, refused = to_bundle.write(plan), 0
    for at in range(start + 6, start + 22):  # gather to padding_token
        for value in (0, 1, 3, 255):
            bundle = bytearray(sound)
            bundle[at] = value
            bundle[-4:] = zlib.crc32(bundle[:-4]).to_bytes(4, "little")
            if bytes(bundle) == sound:
                continue
            try:
                Runtime(core, plan, bundle=bytes(bundle), work_capacity=1 << 20).evaluate(Region.batch, 0, 0)
            except DeviceError as error:
                assert error.name in ("bad_model", "bad_bundle")
                refused += 1
    assert refused > 50


# ---- memory ---------------------------------------------------------------------------------------------------------


def test_patches_are_gathered_in_small_tiles():
    """A layer of 784 patches of 25 numbers wants scratch for four of them."""
    small, large = (
        plan_from_module(nn.Sequential(nn.Unflatten(1, (1, n, n)), nn.Conv2d(1, 2, 5, padding=2), nn.Flatten()))
        for n in (8, 28)
    )
    assert memory.scratch(large.layers[0]) == memory.scratch(small.layers[0]) == 2 * 4 * 25


def test_geometry_counts_what_torch_counts():
    gather = Patches(3, 11, 8, (4, 3), (3, 2), (2, 1))
    made = nn.functional.conv2d(torch.zeros(1, 3, 11, 8), torch.zeros(5, 3, 4, 3), stride=(3, 2), padding=(2, 1))
    assert made.shape[2:] == gather.out_image and made.numel() == gather.n_outputs(5)
    assert Tokens(4, Combine.each).n_outputs(5) == 20 and Tokens(4, Combine.sum).n_outputs(5) == 5
