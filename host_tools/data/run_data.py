# SPDX-License-Identifier: MIT
"""`data.json` in a run's folder: what was done to the rows that the run was trained on, so that whatever is measured or
trained there later gets the same treatment. Where the model was exported with its data file, the bundle says the same."""

import json
from pathlib import Path

from ttzo.exporter.plan.untrusted_file import json_page, read_bytes
from ttzo.host_tools.data.data_error import DataError
from ttzo.host_tools.data.prepare_rows import Preparation
from ttzo.host_tools.data.whole_file import write_atomically

NAME = "data.json"
MOST_BYTES = 64 << 20  # of the file: it names every column and every class


def save(folder: Path, preparation: Preparation | None) -> None:
    """Writes the preparation of a run into its folder, or takes away an earlier run's. Raises `OSError`."""
    if preparation is None:
        (folder / NAME).unlink(missing_ok=True)
    else:
        write_atomically(folder / NAME, (json.dumps(preparation.as_json(), indent=1) + "\n").encode())


def load(folder: Path) -> Preparation | None:
    """The preparation of the run in `folder`; None where none is kept. Raises `DataError` when it is damaged."""
    path = folder / NAME
    try:
        page = json_page(read_bytes(path, MOST_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error})", "train again with --restart") from error
    return Preparation.from_json(page)
