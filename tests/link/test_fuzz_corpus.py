# SPDX-License-Identifier: MIT
"""The C parsers on the inputs that the fuzzer has kept (tests/support/fuzz_c.py), with the undefined-behaviour sanitizer:
each reaches lines or branches that the others do not."""

import fuzz_c
import pytest

from ttzo.device_runtime import FOLDER, core_sources


@pytest.fixture(scope="module")
def targets(c_library):
    """All fuzz targets in one library, each function under the name of its file."""
    texts = [fuzz_c.small_model()]
    for target in fuzz_c.CORPUS:
        text = (fuzz_c.HERE / f"{target}.c").read_text(encoding="utf-8").replace('#include "small_model.h"', "")
        prototype = f"int fuzz_{target}(const uint8_t *data, size_t size);\n"
        texts.append(prototype + text.replace("LLVMFuzzerTestOneInput", f"fuzz_{target}"))
    includes = "#include <stddef.h>\n"
    sources = [str(path.relative_to(FOLDER)) for path in core_sources()]
    return c_library(
        *sources, extra=includes + "\n".join(texts), flags=("-O1", "-fsanitize=undefined", "-fno-sanitize-recover=all")
    )


@pytest.mark.parametrize("target", fuzz_c.CORPUS)
def test_the_inputs_that_the_fuzzer_has_kept_break_nothing(targets, target):
    feed, inputs = getattr(targets, f"fuzz_{target}"), fuzz_c.kept(target)
    assert len(inputs) > 50
    for content in inputs:
        assert feed(content, len(content)) == 0
