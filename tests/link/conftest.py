# SPDX-License-Identifier: MIT

import devices
import pytest
from devices import SMALL, WORK_BYTES, connect, fill, rows

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.device import round_trips


@pytest.fixture
def quick(monkeypatch):
    """Silence is short."""
    monkeypatch.setattr(round_trips, "FIRST_SILENCE_S", 0.3)


@pytest.fixture(params=["native", "numpy"])
def start(request, tmp_path):
    """`start(plan)`: a device of either kind as a context manager that gives its URL."""
    if request.param == "numpy":
        return lambda plan=SMALL, work_bytes=WORK_BYTES: devices.numpy(plan, work_bytes)
    executable = request.getfixturevalue("native_executable")
    return lambda plan=SMALL, work_bytes=WORK_BYTES: devices.native(
        executable, plan, tmp_path, "--work-bytes", str(work_bytes)
    )


@pytest.fixture
def url(start):
    """A device with a batch in it, ready to step."""
    with start() as url:
        with connect(url) as link:
            link.hello()
            fill(link, Region.batch, rows(SMALL, SMALL.batch))
        yield url
