# SPDX-License-Identifier: MIT
"""Cells of the tables on the 20-dimensional HJB equation: networks, derivatives and methods by name (section 5.2)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from ttzo.exporter.readers.nn import Sine, seeded, torch
from ttzo.exporter.zoo import hjb20
from ttzo.host_tools.research import rivals
from ttzo.host_tools.research.reproduce import native_cells
from ttzo.host_tools.research.reproduce.cell import CPU, Cell
from ttzo.host_tools.research.rivals import trainer
from ttzo.host_tools.research.rivals.first_order import back_propagation
from ttzo.host_tools.research.rivals.network import Network
from ttzo.host_tools.research.rivals.objective import Cost
from ttzo.host_tools.research.rivals.pruning import grasp
from ttzo.host_tools.research.rivals.residual import INPUTS, Residual, collocation, solution_error
from ttzo.host_tools.research.rivals.trainer import Phase, Rival
from ttzo.host_tools.research.rivals.zeroth_order import rge

N_STEPS = {"quick": 1200, "full": 20_000}
N_POINTS = {"quick": 10, "full": 100}  # fresh in each step
N_VALIDATION = {"quick": 1000, "full": 10_000}
CHECKS = 200  # measurements in a run: each 100 steps, as in the authors' public code, which keeps the best of them
GRASP_POINTS = 20

FIRST_ORDER = Rival("first_order", "back-propagation, Adam", (Phase(back_propagation, trainer.adam, 1e-3),))
# one direction a step reached 3.5e-4 in 4,000 evaluations of the jet loss, ten 1.4e-2 (at this rate)
ZEROTH_ORDER = Rival(
    "zeroth_order",
    "arXiv 2308.09858, ZO-signRGE",
    (Phase(partial(rge, n_queries=1, radius=1e-2), trainer.sign, 1e-3),),
)
METHODS = {"first_order": FIRST_ORDER, "zeroth_order": ZEROTH_ORDER}


def _dense(widths: tuple[int, ...], seed: int) -> torch.nn.Module:
    with seeded(seed):
        parts = []
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            parts += [torch.nn.Linear(n_in, n_out), Sine()]
    return torch.nn.Sequential(*parts[:-1])


def _train(rank: int, seed: int) -> torch.nn.Module:
    return hjb20.build(seed=seed, rank=rank)


def _without_bias(build: Callable[[int], torch.nn.Module], seed: int) -> torch.nn.Module:
    """The same start without the output's bias: the solution N = 1 is then more than one number."""
    made = build(seed)
    last = list(made.children())[-1]
    last.register_parameter("bias", None)
    return made


def _pruned(n_kept: int, at_start: bool, seed: int) -> Network:
    """The dense network, pruned by GraSP on the loss that is trained, derivatives by differentiation."""
    rng = torch.Generator().manual_seed(seed)
    whole = Network.of(_dense(MLP, seed))
    return grasp(Residual(whole, collocation(GRASP_POINTS, rng), "jet", rng), n_kept, at_start)


MLP = INPUTS, 768, 768, 1
_WITH_BIAS: dict[str, Callable[[int], torch.nn.Module]] = {
    "hjb-mlp": partial(_dense, MLP),
    "hjb-tt-7745": partial(_train, 10),
    "hjb-tt-3209": partial(_train, 4),
    "hjb-fc3-78": partial(_dense, (INPUTS, 78, 78, 1)),
    "hjb-fc2-320": partial(_dense, (INPUTS, 320, 1)),
}
WITHOUT_BIAS = {  # of the output; with their numbers of parameters
    "hjb-mlp": "hjb-mlp-608256",
    "hjb-tt-7745": "hjb-tt-7744",
    "hjb-tt-3209": "hjb-tt-3208",
    "hjb-fc3-78": "hjb-fc3-7956",
    "hjb-fc2-320": "hjb-fc2-7360",
}
MODULES = _WITH_BIAS | {WITHOUT_BIAS[name]: partial(_without_bias, build) for name, build in _WITH_BIAS.items()}
PRUNED_NETWORKS: dict[str, Callable[[int], Network]] = {
    "hjb-sp-7603": partial(_pruned, 7603, True),
    "hjb-sp-7603-zero": partial(_pruned, 7603, False),
}
PRUNED = {"hjb-sp-7603": "start", "hjb-sp-7603-zero": "zero"}  # what the pruned weights are


def network(name: str, seed: int) -> Network:
    """The network of that name at its start."""
    return PRUNED_NETWORKS[name](seed) if name in PRUNED_NETWORKS else Network.of(MODULES[name](seed))


class PinnWork:
    """One network under one method with one way to its derivatives. Points and nodes of a step are drawn from
    (seed, step), the same on every device. Differences of step 0.01 are taken in double precision, as float32 would drown
    them."""

    def __init__(
        self, network: Network, method: Rival, derivative: str, extent: str, seed: int, device: torch.device = CPU
    ):
        kind = torch.float64 if derivative == "fd" else torch.float32
        self.network = network.to(device, kind)
        self.derivative, self.n_points, self.seed = derivative, N_POINTS[extent], seed
        self.trainer = rivals.Trainer(method, self.network.start, seed)
        self.cost = Cost()
        rng = torch.Generator().manual_seed(97_001 + seed)
        self._validation = collocation(N_VALIDATION[extent], rng, kind).to(device)

    @property
    def number(self) -> int:
        return self.trainer.number

    def step(self) -> float:
        rng = torch.Generator().manual_seed(1_000_003 * self.seed + self.number)
        start = self.network.start
        points = collocation(self.n_points, rng, start.dtype).to(start.device)
        objective = Residual(self.network, points, self.derivative, rng, self.cost)
        return self.trainer.step(objective)  # type: ignore[arg-type]  # it answers what these rivals ask of a Batch

    def measure(self) -> float:
        """Mean squared error of the solution."""
        return solution_error(self.network, self.trainer.theta, self._validation)

    def spent(self) -> tuple[int, int]:
        return self.cost.evaluations, self.cost.macs

    def state(self) -> dict[str, Any]:
        return {"trainer": self.trainer.state(), "cost": self.spent()}

    def load(self, state: dict[str, Any]) -> None:
        self.trainer.load(state["trainer"])
        self.cost.evaluations, self.cost.macs = state["cost"]


Identity = tuple[str, dict[str, Any]]


def identity(network: str, method: str, derivative: str, extent: str, seed: int) -> Identity:
    """Key and settings of the cell in torch of that network, method (`first_order`, `zeroth_order`) and derivative;
    `extent`: "quick" or "full"."""
    settings = {
        "network": network,
        "method": method,
        "derivative": derivative,
        "rates": [METHODS[method].phases[0].rate],
        "points": N_POINTS[extent],
        "steps": N_STEPS[extent],
        "seed": seed,
    }
    if network in PRUNED:
        settings["pruned"] = PRUNED[network]
    return f"{network}.{method}.{derivative}.{extent}.seed{seed}", settings


def native_identity(network: str, method: str, derivative: str, extent: str, seed: int) -> Identity:
    """The same of a cell that runs on `native:`. An estimator of ours has its own steps and points at either extent."""
    if method in native_cells.OWN:
        settings = {"network": network, "method": method, "points": hjb20.ROWS, "steps": hjb20.STEPS, "seed": seed}
        return f"{network}.{method}.native.{extent}.seed{seed}", settings
    key, settings = identity(network, method, derivative, extent, seed)
    settings |= {"engine": native_cells.URL, "radius": native_cells.RADIUS}
    return key.replace(f".{extent}.", f".native.{extent}."), settings


def is_native(network: str, method: str, derivative: str, device: torch.device) -> bool:
    """Whether `cell` gives that cell to the product itself: what it trains without derivatives, where no GPU is asked
    for. The widest network stays with torch, 4 times as fast there with jets, 0.7 times by finite differences, even by
    sg and se."""
    if method in native_cells.OWN:
        return True
    there = method == "zeroth_order" and derivative in native_cells.DERIVATIVES and network in MODULES
    return there and device.type == "cpu" and network != "hjb-mlp"


def cell(network_name: str, method: str, derivative: str, extent: str, seed: int, device: torch.device = CPU) -> Cell:
    """The cell of that network, method and derivative."""
    if is_native(network_name, method, derivative, device):
        return native_cell(network_name, method, derivative, extent, seed)
    return torch_cell(network_name, method, derivative, extent, seed, device)


def torch_cell(
    network_name: str, method: str, derivative: str, extent: str, seed: int, device: torch.device = CPU
) -> Cell:
    key, settings = identity(network_name, method, derivative, extent, seed)
    n_steps = settings["steps"]

    def make() -> PinnWork:
        return PinnWork(network(network_name, seed), METHODS[method], derivative, extent, seed, device)

    return Cell(key, settings, n_steps, n_steps // CHECKS, make, device)


def native_cell(network_name: str, method: str, derivative: str, extent: str, seed: int) -> Cell:
    key, settings = native_identity(network_name, method, derivative, extent, seed)
    n_steps = settings["steps"]

    def make() -> native_cells.NativeWork:
        module = MODULES[network_name](seed)
        if method in native_cells.OWN:
            plan = native_cells.own_plan(module, method, seed)
        else:
            plan = native_cells.sign_rge_plan(module, derivative, N_POINTS[extent], n_steps, seed)
        return native_cells.NativeWork(plan, N_VALIDATION[extent])

    return Cell(key, settings, n_steps, max(1, n_steps // CHECKS), make, native_cells.URL)
