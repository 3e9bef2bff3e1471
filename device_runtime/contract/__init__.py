# SPDX-License-Identifier: MIT
"""The contract between host and device, made from `contract.toml`.

Each enumeration becomes an `IntEnum`, each record and each side of a message a frozen dataclass that packs to and unpacks
from bytes. Static tools read the same names in `__init__.pyi`, C reads them in `ttzo_contract.h`.

    python -m ttzo.device_runtime.contract        writes all that is generated from the page
"""

from ttzo.device_runtime.contract.errors import DeviceError, ExitCode, TtzoError, error_page, setting_name  # noqa: F401
from ttzo.device_runtime.contract.hashes import HASH, MESSAGE_HASH  # noqa: F401
from ttzo.device_runtime.contract.page import PAGE, enum_class
from ttzo.device_runtime.contract.ranges import RANGE, Range, first_outside  # noqa: F401
from ttzo.device_runtime.contract.records import RECORD, REPLY, REQUEST, Record, make_enum  # noqa: F401

LIMIT = {name: number for name, (number, _) in PAGE["limit"].items()}
MESSAGE = {name: entry["code"] for name, entry in PAGE["message"].items()}

globals().update({enum_class(name): make_enum(name) for name in PAGE["enum"]})
globals().update({made.__name__: made for made in (*RECORD.values(), *REQUEST.values(), *REPLY.values())})
