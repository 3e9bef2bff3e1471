# SPDX-License-Identifier: MIT
"""The rivals by name, with their sources and rates. Rates are the best of two to five on held-out training rows of MNIST,
in runs of seconds (docs/journal/findings.md); those of the paper's own methods are its."""

import dataclasses
from functools import partial

from ttzo.device_runtime.contract import TtzoError
from ttzo.host_tools.research.rivals import trainer
from ttzo.host_tools.research.rivals.descent import deepzero, stp, szo_scd
from ttzo.host_tools.research.rivals.first_order import back_propagation, forward_gradient
from ttzo.host_tools.research.rivals.layerwise import direct_feedback_alignment, feedback_alignment, node_perturbation
from ttzo.host_tools.research.rivals.local_greedy import forward_gradient_of_block, local_greedy
from ttzo.host_tools.research.rivals.objective import logistic
from ttzo.host_tools.research.rivals.trainer import Phase, Plateau, Rival
from ttzo.host_tools.research.rivals.zeroth_order import cge, cocd, fzoo, rge, sparse_rge

PAPER = "arXiv 2308.09858"
_SIGN_RGE = Phase(partial(rge, n_queries=10, radius=1e-3), trainer.sign, 1e-3)
_CGE = Phase(partial(cge, radius=1e-3), trainer.ema_momentum, 1e-2)


def _one(name: str, source: str, estimate, update, rate: float, revision: int = 1) -> Rival:
    return Rival(name, source, (Phase(estimate, update, rate),), revision=revision)


_RIVALS = (
    _one("sgd", "back-propagation, no momentum", back_propagation, trainer.sgd, 1e-3),
    _one("momentum", "back-propagation, SGD with momentum 0.9", back_propagation, trainer.momentum, 1e-3),
    _one("adam", "back-propagation, Adam (arXiv 1412.6980)", back_propagation, trainer.adam, 1e-3),
    _one("rge", f"{PAPER}, ZO-RGE", partial(rge, n_queries=10, radius=1e-3), trainer.sgd, 1e-3),
    Rival("sign_rge", f"{PAPER}, ZO-signRGE", (_SIGN_RGE,)),
    Rival("cge", f"{PAPER}, ZO-CGE with momentum", (_CGE,)),
    Rival("hybrid", f"{PAPER}, section 3.2", (_SIGN_RGE, _CGE), Plateau(latest=10 * 938)),
    Rival(
        "hybrid_fast",
        f"{PAPER}, section 3.2, the second stage at ten times the rate",
        (_SIGN_RGE, dataclasses.replace(_CGE, rate=0.1)),
        Plateau(latest=10 * 938),
    ),
    _one(
        "flops",
        "Gu et al., DAC 2020",
        partial(sparse_rge, n_queries=100, radius=1e-3, density=0.15),
        trainer.sgd,
        0.1,
    ),
    _one("stp", "Bergou et al., arXiv 1902.03591; Bibi et al., AAAI 2020", stp, trainer.sgd, 0.0245),
    _one("szo_scd", "Gu et al., AAAI 2021", szo_scd, trainer.sgd, 1e-2),
    _one("forward_gradient", "Baydin et al., arXiv 2202.08587", forward_gradient, trainer.sgd, 3e-3),
    _one("fg_w", "Ren et al., arXiv 2210.03310, FG-W", forward_gradient_of_block, trainer.momentum, 3e-2),
    _one("lg_fg_a", "Ren et al., arXiv 2210.03310, LG-FG-A", local_greedy, trainer.momentum, 3e-3),
    _one("fa", "Lillicrap et al. 2016", feedback_alignment, trainer.momentum, 5e-2),
    Rival(
        "dfa",
        "Nokland, arXiv 1609.01596",
        (Phase(direct_feedback_alignment, trainer.rmsprop, 3e-4),),
        loss=logistic,
    ),
    _one("node_perturbation", "Williams 1992; arXiv 2310.00965", node_perturbation, trainer.adam, 1e-3, revision=2),
    _one("cocd", "Liang et al., arXiv 2605.14373", partial(cocd, decay=0.9), trainer.sgd, 2e-2),
    _one("deepzero", "Chen et al., arXiv 2310.02025", deepzero, trainer.momentum, 0.1, revision=2),
    _one("fzoo", "arXiv 2506.09034", fzoo, trainer.sgd, 1e-2),
)
RIVALS = {rival.name: rival for rival in _RIVALS}


def names() -> tuple[str, ...]:
    return tuple(RIVALS)


def get(name: str) -> Rival:
    """The rival of that name. Raises `TtzoError` for another."""
    if name not in RIVALS:
        raise TtzoError(f"there is no rival {name!r}", f"choose one of {', '.join(RIVALS)}")
    return RIVALS[name]
