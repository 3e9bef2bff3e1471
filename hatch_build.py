# SPDX-License-Identifier: MIT
"""Lays the folders of this repository out as the package `ttzo`; hatchling calls it for every wheel and install.

A wheel gets `only-include` of pyproject.toml as `ttzo/<folder>`, and the files of host_tools/front as `ttzo/<file>`.
An editable install gets the same tree made of links, under `dev-mode-dirs`, and a .pth file that names it: a new file or
folder is there at once, and static tools resolve `ttzo.exporter...`, which they could not with an import hook.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FRONT = "host_tools/front"
MODULES = "build/modules"  # of MicroPython, for seven architectures


class LayOut(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """version: "editable", or "standard" for a wheel. Raises OSError where the system makes no links."""
        root = Path(self.root)
        front = [path for path in sorted((root / FRONT).iterdir()) if path.is_file()]
        if version != "editable":
            build_data["force_include"] |= {str(path): path.name for path in front}
            if (root / MODULES).is_dir():  # `make modules` has built them
                build_data["force_include"][str(root / MODULES)] = "host_tools/micropython/built_modules"
            return
        wheel = self.build_config.target_config
        (editable,) = wheel["dev-mode-dirs"]
        link(root / editable / "ttzo", [*front, *(root / folder for folder in wheel["only-include"])])


def link(package: Path, targets: list[Path]) -> None:
    """Makes the folder `package` anew, with one link to each target and nothing else."""
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir(parents=True)
    for target in targets:
        try:
            (package / target.name).symlink_to(target, target_is_directory=target.is_dir())
        except OSError as error:
            if sys.platform == "win32":
                error.add_note(
                    "next: switch Windows' developer mode on, which lets programs make links, or build a wheel"
                )
            raise
