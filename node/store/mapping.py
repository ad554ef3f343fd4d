"""Where in ``data.mdb`` a value lies.

``os.sendfile`` wants a file and an offset; LMDB gives an address in its map. The offset is the difference of the
address and the start of the map of this very file (two mapped files may have the same name, so it is found by device
and inode). A value that fills pages of its own stays where it is until its key is rewritten or deleted.
"""

import ctypes
import os
from pathlib import Path


class _PyBuffer(ctypes.Structure):
    """The head of ``Py_buffer``. Source: CPython, Include/pybuffer.h."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("rest", ctypes.c_void_p * 6),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, ctypes.POINTER(_PyBuffer), ctypes.c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (ctypes.POINTER(_PyBuffer),)


def address_of(view: memoryview) -> int:
    """Return where the first byte of *view* lies in memory."""
    buffer = _PyBuffer()
    _get_buffer(view, ctypes.byref(buffer), 0)
    address = int(buffer.buf)
    _release_buffer(ctypes.byref(buffer))
    return address


def start_of_map(path: Path) -> int:
    """Return where the map of the file *path* starts in memory; ``LookupError`` where it is not mapped."""
    status = path.stat()
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, where, inode = line.split()[:5]
        if (where, inode, int(offset, 16)) == (device, str(status.st_ino), 0):
            return int(span.partition("-")[0], 16)
    raise LookupError(f"{path} is not mapped")
