# SPDX-License-Identifier: MIT
"""What the tests of the paper's tables share."""

import pytest


@pytest.fixture
def store(tmp_path):
    """An empty folder of cells."""
    pytest.importorskip("torch")
    from ttzo.host_tools.research.reproduce.cell import Store

    return Store(tmp_path / "cells")
