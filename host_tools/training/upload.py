# SPDX-License-Identifier: MIT
"""Which rows lie on the device: all that it can hold, where the steps to come use so many."""

from ttzo.device_runtime.contract import Region
from ttzo.host_tools.data.data_set import DataSet
from ttzo.host_tools.device.device import Device, OnProgress


def upload(device: Device, data: DataSet, steps: int, tell: OnProgress) -> Region:
    """Puts the training rows onto the device when they fit and are not more than `steps` steps use, unless they stand there
    already; the region that the steps take their rows from."""
    n = len(data.x_train)
    if device.plan.pde is not None:
        return Region.collocation
    if steps * device.plan.batch < n:
        return Region.batch
    if n <= device.info.dataset_capacity:
        device.write_dataset(data.train_rows, tell)
        return Region.dataset
    if device.info.sparse_capacity and len(data.sparse_rows) <= device.info.sparse_capacity:
        device.write_sparse(data.sparse_rows, tell)
        return Region.sparse
    return Region.batch
