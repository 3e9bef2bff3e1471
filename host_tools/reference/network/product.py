# SPDX-License-Identifier: MIT
"""Twin of product.c."""

import numpy as np


def multiply(left: np.ndarray, right: np.ndarray, start: np.ndarray | np.float32) -> np.ndarray:
    """sum over k of left[..., k] * right[k, ...]: one chain of multiply-adds over ascending k for every output.

    `left` is [a..., inner], `right` [inner, b...], both ready to broadcast against each other without the inner axis.
    """
    total = start + np.zeros(np.broadcast_shapes(left.shape[:-1], right.shape[1:]), np.result_type(left, right))
    product = np.empty_like(total)
    for k in range(right.shape[0]):
        np.multiply(left[..., k], right[k], out=product)
        np.add(product, total, out=total)
    return total
