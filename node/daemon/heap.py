"""How the C library keeps memory: enough for the chunks of one commit, and no longer than they are written.

LMDB allocates each chunk that is put and frees it after the commit. By itself glibc gives that memory back to the
kernel at once and takes it anew, page fault by page fault: a third of the time of a large upload. So up to
``KEPT`` bytes stay with the process, until a minute without uploads has passed.

All threads share one arena: writes come from whichever thread is free, and each had kept as much for itself. With 64
uploads at once a node had 330 MiB so, and has 160 MiB with one.

And how Python looks for garbage: whatever it goes through, nothing else runs meanwhile. What was made by importing
and opening stays for ever, so it is left out: a look at all of it took 60 to 180 ms, once in a few thousand requests,
or again and again while a large manifest was read.
"""

import ctypes
import gc
from collections.abc import Callable

import trio

KEPT = 24 * 2**20  # Bytes: a commit has 16 MiB of chunks.
INTERVAL = 60  # Seconds between two looks.
YOUNG = 5_000  # New objects between two looks at the newest: 700 by default, which a single connection makes.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8  # M_..., from malloc.h.
_LARGEST = 32 * 2**20  # Bytes: what glibc takes as the threshold at most.


def keep_heap() -> None:
    """Tell the C library; where it is not glibc, nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, KEPT)
        mallopt(_ARENA_MAX, 1)  # By default each thread may have one of its own, and keep as much in it.


def settle_heap() -> None:
    """Call everything that there is now permanent; called once, when the node is about to serve."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 10, 10)


async def trim_heap_forever(is_idle: Callable[[], bool]) -> None:
    """Give back, for ever, what is free while nothing is uploaded: *is_idle* says so, and drops what it can spare."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await trio.sleep(INTERVAL)
        if is_idle():
            await trio.to_thread.run_sync(trim, 0)
    await trio.sleep_forever()
