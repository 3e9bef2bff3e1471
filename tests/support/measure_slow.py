# SPDX-License-Identifier: MIT
"""The list of slow tests, tests/slow.txt: `room::function` in a line, with all its cases.

As a plugin of pytest (`make slow-tests`) this file measures the functions that ran and writes their lines anew; lines of
functions that did not run stay. The run fails where the fast tests together take more than MOST_OF_ALL. Processor time is
measured, child processes that were waited for included. What a test's fixtures take counts for the first test that asks for
them.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

LIST = Path(__file__).parents[1] / "slow.txt"
MOST_OF_A_CASE, MOST_OF_A_FUNCTION = 0.12, 2.5  # seconds of processor time: mean of a case, and all cases together
MOST_OF_ALL = (
    65.0  # seconds of all fast tests in one process; `make check` may take 90, its workers import everything twice
)
_seconds: dict[str, list[float]] = defaultdict(list)


def slow_functions() -> set[str]:
    """`room::function` of each slow test."""
    return set(LIST.read_text(encoding="utf-8").split())


def name_of(item: pytest.Item) -> str:
    """`room::function` of a test."""
    return f"{item.path.parent.name}::{item.name.partition('[')[0]}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = _processor_seconds()
    yield
    _seconds[name_of(item)].append(_processor_seconds() - before)


def pytest_sessionfinish(session: pytest.Session) -> None:
    kept = slow_functions() - set(_seconds)
    measured = {name for name, cases in _seconds.items() if _is_slow(cases)}
    LIST.write_text("".join(f"{name}\n" for name in sorted(kept | measured)), encoding="utf-8")
    fast = sum(sum(cases) for name, cases in _seconds.items() if name not in measured)
    print(f"\nfast tests: {fast:.1f} s of processor time, at most {MOST_OF_ALL:.0f}")
    if fast > MOST_OF_ALL:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _is_slow(cases: list[float]) -> bool:
    return sum(cases) > MOST_OF_A_FUNCTION or sum(cases) / len(cases) > MOST_OF_A_CASE


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
