# SPDX-License-Identifier: MIT
"""The equations of docs/equations/textbook.py are solved with default settings, against closed forms and Runge-Kutta."""

import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "docs" / "equations"


@pytest.fixture(scope="module")
def measure():
    sys.path.insert(0, str(FOLDER))
    try:
        import measure as module

        yield module
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize(
    "name", ["helmholtz", "helmholtz_soft", "poisson_neumann", "sine_gordon", "fitzhugh_nagumo", "diffusivity"]
)
def test_default_settings_solve_a_textbook_s_equation_to_two_percent(measure, name, tmp_path):
    error, _, steps, of_constant = measure.trained(name, 0, tmp_path)
    assert error <= 0.02 and steps == 300
    assert of_constant <= 0.03


def test_the_table_names_every_equation(measure):
    page = measure.STORED.with_suffix(".md").read_text("utf-8")
    assert all(f"| {title} |" in page for title in measure.NAMES.values())
