# SPDX-License-Identifier: MIT
"""What the tools must know of a port's instruction set: its folders, the C library, the emulator, the interrupt's root."""

from dataclasses import dataclass
from pathlib import Path

from ttzo.device_runtime import PORTS

CHOICES = ("uart_", "clock_", "random_", "slots_", "watchdog_")  # how the names of sources begin that a board chooses
SHARED = PORTS / "serial"  # what is the same on every core: main.c, the link's bytes, the linker's script


@dataclass(frozen=True)
class ChipPort:
    """A port by its folder in device_runtime/ports."""

    name: str
    specs: str  # of gcc: which C library
    emulator: str
    packages: str  # Debian's, of compiler and C library
    interrupt: str  # the function that the UART's interrupt enters
    interrupt_frame_bytes: int  # that the processor pushes for it

    @property
    def folders(self) -> list[Path]:
        """Where its sources and headers are searched, the port's own first."""
        return list(dict.fromkeys((PORTS / self.name, SHARED)))

    def sources(self, chosen: set[str]) -> list[Path]:
        """Its C files by name, without choices that are not `chosen`; its own before the shared ones."""
        found: dict[str, Path] = {}
        for folder in reversed(self.folders):
            found |= {path.name: path for path in folder.glob("*.c")}
        wanted = (name for name in found if name in chosen or not name.startswith(CHOICES))
        return [found[name] for name in sorted(wanted)]


CHIP_PORTS = {
    port.name: port
    for port in (
        # exception entry on a Cortex-M with FPU: 26 words, and one more to align the stack to 8 bytes
        ChipPort(
            "cortex_m",
            "nano.specs",
            "qemu-system-arm",
            "gcc-arm-none-eabi libnewlib-arm-none-eabi",
            "ttzo_uart_interrupt",
            27 * 4,
        ),
        ChipPort(
            "riscv",
            "picolibc.specs",
            "qemu-system-riscv32",
            "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf",
            "Trap_Handler",
            0,
        ),
    )
}
