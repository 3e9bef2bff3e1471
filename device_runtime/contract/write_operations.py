# SPDX-License-Identifier: MIT
"""Writes `operations/calls.h`: how a node's code leads to its functions.

A `switch` and no table of pointers, so that a reader and the stack check of a build see every call. A case is left out
with its part (`node_part` of the page); how derivatives pass a node (`node_jet`), without the part `equations`.
"""

from collections.abc import Iterable

from ttzo.device_runtime.contract.page import FOLDER, PAGE

PATH = FOLDER.parent / "operations" / "calls.h"
_SIZES = "const uint8_t *attributes, uint32_t numbers, struct ttzo_node_sizes *sizes"
_CALL = "const struct ttzo_node_call *call"
_JET = "const struct ttzo_jet *jet"
_OWN_JET = [name for name, how in PAGE["node_jet"].items() if how == "own"]


def calls_text() -> str:
    """The text of `calls.h`."""
    lines = [
        "// SPDX-License-Identifier: MIT",
        "// Written by write_operations.py from contract.toml; change that page, not this file.",
        "#ifndef TTZO_CALLS_H",
        "#define TTZO_CALLS_H",
        '#include "operations/operation.h"',
    ]
    for name in PAGE["node_part"]:
        lines += [f"bool ttzo_{name}_sizes({_SIZES});", f"void ttzo_{name}_forward({_CALL});"]
        lines += [f"void ttzo_{name}_jet({_CALL}, {_JET});"] if name in _OWN_JET else []
    lines += [
        "",
        "// What a node's attributes say of its sizes; false where they are inconsistent. `numbers`: of its output array.",
        "static inline bool ttzo_node_sizes(uint8_t operation, const uint8_t *attributes, uint32_t numbers,",
        "                                   struct ttzo_node_sizes *sizes)",
        *_switch("sizes", "attributes, numbers, sizes", PAGE["node_part"], "return ", "    return false;"),
        "// A node's forward pass of one row.",
        f"static inline void ttzo_node_forward(uint8_t operation, {_CALL})",
        *_switch("forward", "call", PAGE["node_part"], "", ""),
        "#if TTZO_HAS(EQUATIONS)",
        "",
        "// Whether derivatives pass a node of this operation.",
        "static inline bool ttzo_node_has_jet(uint8_t operation)",
        *_predicate(PAGE["node_jet"]),
        "// A node's jet of one row, of an operation with a rule of its own; without one, each column passes as the value does.",
        f"static inline void ttzo_node_jet(uint8_t operation, {_CALL}, {_JET})",
        *_switch("jet", "call, jet", _OWN_JET, "", ""),
        "// Whether it has one.",
        "static inline bool ttzo_node_has_own_jet(uint8_t operation)",
        *_predicate(_OWN_JET),
        "#endif",
        "#endif",
        "",
    ]
    return "\n".join(lines)


def _switch(function: str, arguments: str, names: Iterable[str], before: str, end: str) -> list[str]:
    lines = ["{", "    switch (operation) {"]
    for name in names:
        part, _ = PAGE["node_part"][name]
        lines += [
            f"#if TTZO_HAS({part.upper()})",
            f"    case TTZO_NODE_OPERATION_{name.upper()}: {before}ttzo_{name}_{function}({arguments});"
            + ("" if before else " break;"),
            "#endif",
        ]
    return [*lines, "    default: break;", "    }", *([end] if end else []), "}", ""]


def _predicate(names: Iterable[str]) -> list[str]:
    cases = [f"    case TTZO_NODE_OPERATION_{name.upper()}:" for name in names]
    return [
        "{",
        "    switch (operation) {",
        *cases[:-1],
        f"{cases[-1]} return true;",
        "    default: return false;",
        "    }",
        "}",
        "",
    ]
