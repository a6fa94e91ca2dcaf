"""Shuts ext4 file systems down, named by where they are mounted: from here on nothing can be written to them.

`cut` is a power cut: what was not synced is gone, the journal included. `unplug` is a disk that is gone: what was written
is there when it comes back, nothing more can be.

In Python, since the service has no `unsafe` code and an ioctl needs it in Rust.
"""

import fcntl
import os
import struct
import sys

EXT4_IOC_SHUTDOWN = 0x8004587D
FLAGS = {"cut": 2, "unplug": 0}

how, *paths = sys.argv[1:]
roots = [os.open(path, os.O_RDONLY) for path in paths]
for root in roots:
    fcntl.ioctl(root, EXT4_IOC_SHUTDOWN, struct.pack("I", FLAGS[how]))
