# SPDX-License-Identifier: MIT
# For MicroPython's unix port: writes a LittleFS image of 1 MiB with files in it.
#
#   micropython littlefs_image.py IMAGE NAME=FILE ..
import sys

import vfs

BLOCK_BYTES = 4096
BLOCKS = 256
SIZES = {"readsize": 64, "progsize": 64, "lookahead": 32}


class Disk:
    """A block device in memory."""

    def __init__(self):
        self.bytes = bytearray(BLOCK_BYTES * BLOCKS)

    def readblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        memoryview(buffer)[:] = memoryview(self.bytes)[at : at + len(buffer)]

    def writeblocks(self, block, buffer, offset=0):
        at = block * BLOCK_BYTES + offset
        memoryview(self.bytes)[at : at + len(buffer)] = buffer

    def ioctl(self, question, argument):
        return {4: BLOCKS, 5: BLOCK_BYTES, 6: 0}.get(question)


disk = Disk()
files = []
for word in sys.argv[2:]:
    name, path = word.split("=", 1)
    with open(path, "rb") as file:  # noqa: PTH123 - MicroPython's
        files.append((name, file.read()))
vfs.VfsLfs2.mkfs(disk, **SIZES)
vfs.mount(vfs.VfsLfs2(disk, **SIZES), "/image")
for name, content in files:
    with open("/image/" + name, "wb") as file:  # noqa: PTH123
        file.write(content)
vfs.umount("/image")
with open(sys.argv[1], "wb") as file:  # noqa: PTH123
    file.write(disk.bytes)
