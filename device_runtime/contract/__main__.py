# SPDX-License-Identifier: MIT
from ttzo.device_runtime.contract import c_header, header_path

header_path().write_text(c_header(), encoding="utf-8")
