"""What the C library's allocator does with freed memory: it keeps it, so that a training step finds its pages mapped.

By default glibc gives large blocks back to the kernel when they are freed, and the next step pays for the same pages
again: a sixth of its time on a GPT-2 of 4 layers.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 512 << 20
_LARGEST_KEPT_BYTES = 64 << 20


@cache
def keep_freed_memory() -> bool:
    """Have this process keep freed blocks of at most 64 MiB, up to 512 MiB at the heap's end; whether it does now.

    Nothing is changed where the C library is not glibc, or where the user's environment tunes it. Results are the same.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        mallopt = ctypes.CDLL(None).mallopt
    except (ValueError, OSError, AttributeError):
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES) and mallopt(_TRIM_THRESHOLD, _KEPT_BYTES))
