# SPDX-License-Identifier: MIT
"""Other machines than this one, whose `native:` is compiled by a cross compiler and run in QEMU's user-mode emulation.

MACHINES["riscv64"].command(Arithmetic.separate)        the words that start its program
"""

import shutil
from dataclasses import dataclass

from ttzo.device_runtime.contract import Arithmetic, TtzoError
from ttzo.host_tools.firmware.build import build_native


@dataclass(frozen=True)
class Machine:
    """`compiler` with the flags that make a program of its own, `emulator` what runs it, `packages` Debian's names of both."""

    name: str
    title: str
    compiler: tuple[str, ...]
    emulator: str
    packages: str

    @property
    def missing(self) -> list[str]:
        """Programs that are not there."""
        return [name for name in (self.compiler[0], self.emulator) if not shutil.which(name)]

    def command(self, arithmetic: Arithmetic) -> list[str]:
        """The words that start the machine's `ttzo-native`, which is compiled at the first call. Raises `TtzoError`."""
        if self.missing:
            raise TtzoError(f"not found: {', '.join(self.missing)}", f"Debian: apt-get install {self.packages}")
        return [self.emulator, str(build_native(arithmetic, self.compiler))]


_EVERY = (
    Machine("aarch64", "64-bit Arm", ("aarch64-linux-gnu-gcc", "-static"), "qemu-aarch64",
            "gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"),
    Machine("riscv64", "RV64GC", ("riscv64-linux-gnu-gcc", "-static"), "qemu-riscv64",
            "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user"),
    Machine("i686", "32-bit x86 with SSE2", ("i686-linux-gnu-gcc", "-static", "-msse2", "-mfpmath=sse"), "qemu-i386",
            "gcc-i686-linux-gnu libc6-dev-i386-cross qemu-user"),
)  # fmt: skip
MACHINES = {machine.name: machine for machine in _EVERY}
