# SPDX-License-Identifier: MIT
"""Cuts the power of a training device at random instants, and counts what it then still holds.

    python tests/support/power_cuts.py [--cuts 1000]                               the native port, killed (SIGKILL)
    python tests/support/power_cuts.py --board mps2-an386 --cuts 50                an emulated board, reset

After each cut the run's folder is removed, so that the host knows nothing, and `session.train` goes on from what the device
has kept. When the run is done its parameters and moments are compared with those of a run that was never cut; then the
next run begins, with another seed, until there were enough cuts.
"""

import argparse
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.exporter.export import export
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.data.known_data import load
from ttzo.host_tools.device import device as devices
from ttzo.host_tools.device import qemu
from ttzo.host_tools.firmware import boards, build
from ttzo.host_tools.training import checkpoint, session
