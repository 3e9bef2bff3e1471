# SPDX-License-Identifier: MIT
"""Talks to people and devices. What a program of your own needs stands in `import ttzo` (front/)."""
