# SPDX-License-Identifier: MIT
"""What a gradient costs after several hidden layers, in forward passes of commit f720d3b."""

import json
import sys
from pathlib import Path

import pytest
from firmware import needs_compiler

sys.path.append(str(Path(__file__).parents[1] / "vectors"))

STORED = json.loads((Path(__file__).parents[1] / "vectors" / "depth_counts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("each", STORED["depths"], ids=lambda each: str(each["hidden_layers"]))
def test_a_stored_gradient_costs_no_more_forward_passes_than_allowed(each):
    assert each["node_cge"] <= each["most"] * each["forward"]
    assert each["chain_differences"] <= STORED["most_of_chain_differences"] * each["forward"]


@needs_compiler
def test_a_gradient_after_two_layers_costs_what_is_stored():
    pytest.importorskip("unicorn", reason="needs the extra `bench`")
    import depth_counts

    (stored,) = (each for each in STORED["depths"] if each["hidden_layers"] == 2)
    found = depth_counts.instructions(depth_counts.plan_of_depth(2, "node_cge"), STORED["board"])
    assert found == pytest.approx(stored["node_cge"], rel=0.05)
