# SPDX-License-Identifier: MIT
"""How often a board keeps its run, so that its memory lasts: a generation erases one of two slots."""

LIFETIME_HOURS = 1000.0  # of training that the two slots must bear


def period_s(rated_erases: int) -> float:
    """Seconds from one generation to the next, at the soonest; 0 of a memory that does not wear."""
    return 3600.0 * LIFETIME_HOURS / (2 * rated_erases) if rated_erases else 0.0


def erases_an_hour(rated_erases: int) -> float:
    """Erases of each slot in an hour of training; 0 of a memory that does not wear."""
    return rated_erases / LIFETIME_HOURS
