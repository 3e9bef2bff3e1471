# SPDX-License-Identifier: MIT
"""The paper's tables and figure, run again: cells that resume, and the paper's numbers beside ours."""
