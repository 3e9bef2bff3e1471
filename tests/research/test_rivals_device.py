# SPDX-License-Identifier: MIT
"""Rivals on another device than the CPU. No GPU is asked for: a device is played on the CPU (`other_device`), and what a
step does there has the bits it has on the CPU."""

import pytest

torch = pytest.importorskip("torch")

from other_device import DEVICE, Away, OtherDevice

from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.reproduce import cell as cells
from ttzo.host_tools.research.reproduce import (
    mnist_cells,
    pinn_cells,
)
from ttzo.host_tools.research.rivals import coordinates, residual
from ttzo.host_tools.research.rivals.local_greedy import LocalNetwork
from ttzo.host_tools.research.rivals.network import Network, at_once
from ttzo.host_tools.research.rivals.objective import Batch
from ttzo.nn import TTLinear

CPU = torch.device("cpu")
LOCAL = ("lg_fg_a", "fg_w")


def rows(n=128):
    rng = torch.Generator().manual_seed(2)
    return mnist_cells.Rows(*(torch.rand(n, 12, generator=rng), torch.arange(n) % 3) * 2)


def network(name, kind):
    if name in LOCAL:
        return LocalNetwork(12, 8, 2, 3)
    torch.manual_seed(5)
    if kind == "train":
        first, second = TTLinear(12, 8, (3, 4), (4, 2), (3,), "matrix"), TTLinear(8, 3, (4, 2), (3, 1), (2,), "matrix")
    else:
        first, second = torch.nn.Linear(12, 8), torch.nn.Linear(8, 3)
    made = Network.of(torch.nn.Sequential(first, torch.nn.Tanh(), second))
    return made.pruned(torch.arange(0, made.n, 2), kind == "masked") if kind in ("pruned", "masked") else made


def work(name, kind, device):
    return mnist_cells.MnistWork(network(name, kind), rivals.get(name), rows(), 1, device)


@pytest.mark.parametrize(("name", "kind"), [
    (name, kind)
    for name in rivals.names()
    for kind in ("dense", "train", "pruned", "masked")
    if kind == "dense" or name not in (*LOCAL, "deepzero") or (name, kind) == ("deepzero", "train")
])  # fmt: skip
def test_a_rival_steps_on_another_device_as_on_the_cpu(name, kind):
    here = work(name, kind, CPU)
    losses = [here.step() for _ in range(3)]
    with OtherDevice():
        there = work(name, kind, DEVICE)
        assert [there.step() for _ in range(3)] == losses
        assert there.trainer.theta.device == DEVICE and there.measure() == here.measure()
    assert torch.equal(there.trainer.theta.held, here.trainer.theta)
    assert there.spent() == here.spent()


def on_the_cpu(state):
    """What `torch.load` makes of a state with `map_location`: all its tensors on the CPU."""
    if isinstance(state, dict):
        return {name: on_the_cpu(each) for name, each in state.items()}
    return state.held if isinstance(state, Away) else state


@pytest.mark.parametrize("name", ["momentum", "adam", "hybrid", "dfa", "szo_scd", "cocd", "deepzero", "lg_fg_a"])
def test_a_state_of_one_device_goes_on_on_the_other(name):
    whole = work(name, "dense", CPU)
    losses = [whole.step() for _ in range(6)]
    here = work(name, "dense", CPU)
    assert [here.step() for _ in range(2)] == losses[:2]
    with OtherDevice():
        there = work(name, "dense", DEVICE)
        there.load(here.state())
        assert [there.step() for _ in range(2)] == losses[2:4]
        state = on_the_cpu(there.state())
    back = work(name, "dense", CPU)
    back.load(state)
    assert [back.step() for _ in range(2)] == losses[4:]


@pytest.mark.parametrize("method", ["first_order", "zeroth_order"])
@pytest.mark.parametrize("derivative", residual.DERIVATIVES)
def test_the_equation_is_stepped_on_another_device_as_on_the_cpu(derivative, method, monkeypatch):
    monkeypatch.setattr(residual, "PAIRS", 8)
    monkeypatch.setattr(residual, "LEVEL", 2)
    monkeypatch.setitem(pinn_cells.N_POINTS, "quick", 2)
    made = [pinn_cells.torch_cell("hjb-fc2-320", method, derivative, "quick", 1, device) for device in (CPU, DEVICE)]
    here = made[0].make()
    losses = [here.step() for _ in range(2)]
    with OtherDevice():
        there = made[1].make()
        assert [there.step() for _ in range(2)] == losses
        assert there.measure() == here.measure() and there.trainer.theta.device == DEVICE


def test_the_other_device_refuses_what_a_gpu_refuses():
    with OtherDevice():
        there = torch.zeros(2, device=DEVICE)
        assert there.device == DEVICE and float((there + 1).sum()) == 2.0
        with pytest.raises(RuntimeError, match="tensors of two devices"):
            there + torch.ones(2)
        with pytest.raises(RuntimeError, match="draws on the CPU"):
            torch.rand(2, device=DEVICE, generator=torch.Generator())


# ---- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "there", "chosen"), [
    (None, True, "cuda"), (None, False, "cpu"), (True, True, "cuda"), (False, True, "cpu"), (False, False, "cpu"),
])  # fmt: skip
def test_a_gpu_is_used_where_there_is_one(asked, there, chosen, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert cells.choose_device(asked).type == chosen


def test_a_gpu_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(cells.ReproduceError, match="no GPU") as caught:
        cells.choose_device(True)
    assert "--gpu" in caught.value.hint


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("name", ["adam", "cge", "szo_scd", "lg_fg_a", "node_perturbation"])
def test_a_gpu_is_as_near_to_the_cpu_as_rounding(name):
    here, there = (work(name, "dense", device) for device in (CPU, torch.device("cuda")))
    # differences of losses of 1e-3 in float32 leave about 1e-4 of a slope; two steps carry it on
    assert [there.step() for _ in range(2)] == pytest.approx([here.step() for _ in range(2)], rel=1e-3)
    assert there.trainer.theta.device.type == "cuda"


def test_a_gpu_takes_larger_portions_and_an_unknown_device_those_of_the_cpu():
    for sizes in (coordinates.NUMBERS_AT_ONCE, coordinates.ENTRIES_AT_ONCE, residual.POINTS_AT_ONCE):
        found = [at_once(sizes, torch.device(kind)) for kind in ("cpu", "cuda", "meta")]
        assert found[0] == found[2] < found[1]


@pytest.mark.parametrize("kind", ["dense", "train", "masked"])
def test_coordinates_in_large_portions_are_those_in_small_ones(kind, monkeypatch):
    net = network("cge", kind).to(CPU, torch.float64)
    batch = Batch(net, torch.rand(9, 12, dtype=torch.float64), torch.arange(9) % 3)
    found = []
    for numbers, entries in ((1 << 6, 5), (1 << 26, 1 << 16)):
        monkeypatch.setitem(coordinates.NUMBERS_AT_ONCE, "cpu", numbers)
        monkeypatch.setitem(coordinates.ENTRIES_AT_ONCE, "cpu", entries)
        found.append(coordinates.differences(batch, net.start, 1e-3)[0])
    torch.testing.assert_close(*found, rtol=0, atol=1e-15)  # sums in another order
