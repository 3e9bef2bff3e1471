# SPDX-License-Identifier: MIT
# For FROZEN_MANIFEST, beside the user C module: `import ttzo` without a file on the board.
module("ttzo.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_model.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_serve.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_files.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_save.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_train.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_learn.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_load.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_evaluate.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_texts.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
module("_ttzo_refusals.py", opt=3)  # type: ignore[name-defined]  # given by MicroPython
