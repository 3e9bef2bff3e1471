# SPDX-License-Identifier: MIT
"""Bytes of flash that firmware takes without a model's tables: by the parts of the runtime in it, and the core.

    code_bytes("cortex-m4 hard", parts, arithmetic)     expected, and a ceiling

The sizes are fitted to real builds by host_tools/measure/fit_part_sizes.py and lie in `part_sizes.json`, with how far each
build is from its forecast. Some parts share code: what a pair of them takes beyond its two parts stands there too.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ttzo.device_runtime.contract import Arithmetic, Part
from ttzo.exporter.plan.parts import SMALL, Parts

ALWAYS = {part.name for part in SMALL | {Part.link}}
PAIRS = (
    ("cores", "gathered"),
    ("cores", "split"),
    ("blocks", "operations"),
    ("evaluations", "operations"),
    ("equations", "operations"),
)
PATH = Path(__file__).with_name("part_sizes.json")


@dataclass(frozen=True)
class CodeBytes:
    """Flash of the firmware without the model's tables. No counted build took more than `ceiling`."""

    expected: int
    ceiling: int


def code_bytes(core: str, parts: Parts, arithmetic: Arithmetic) -> CodeBytes:
    """`core`: as `Board.core` names it. Of a core that was not counted: the largest counted one of its family and floats."""
    sizes = stored()["cores"][counted_core(core)]
    expected = sum(sizes["sizes"].get(term, 0) for term in terms(part.name for part in parts))
    share = sizes.get("fused", 1.0) if arithmetic == Arithmetic.fused else 1.0
    return CodeBytes(round(share * expected), round(sizes["ceiling"] * share * expected))


def base_bytes(core: str) -> int:
    """What firmware takes in which no part but the link and the small ones is."""
    return stored()["cores"][counted_core(core)]["sizes"]["base"]


def terms(parts: Iterable[str]) -> list[str]:
    """What a build with these parts is the sum of: the base, each part, and the pairs that share code."""
    names = set(parts) - ALWAYS
    return ["base", *sorted(names), *(" and ".join(pair) for pair in PAIRS if set(pair) <= names)]


def counted_core(core: str) -> str:
    """The core itself where it was counted, else the one that stands for it."""
    cores = stored()["cores"]
    if core in cores:
        return core
    alike = [name for name in cores if name.rpartition(" ")[2] == core.rpartition(" ")[2]] or list(cores)
    alike = [name for name in alike if name[:2] == core[:2]] or alike
    return max(alike, key=lambda name: cores[name]["sizes"]["base"])


@cache
def stored() -> dict:
    """The fitted sizes, with what they were fitted to."""
    return json.loads(PATH.read_text(encoding="utf-8"))
