# SPDX-License-Identifier: MIT
"""The tables of docs/sensors.md: from scratch, and the watch that learns its wearer."""
