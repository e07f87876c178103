"""X25519 (RFC 7748): what two parties derive, each from its own secret and the other's public key."""

from __future__ import annotations

from functools import lru_cache

KEY_BYTES = 32
BASE = (9).to_bytes(KEY_BYTES, "little")
_P = 2**255 - 19
_A24 = 121665


@lru_cache(maxsize=1 << 16)
def agreed(secret: bytes, public: bytes) -> bytes:
    """The shared 32 bytes of a 32-byte secret and a 32-byte public key; with `BASE` the secret's own public key.

    The Montgomery ladder of RFC 7748, section 5. A simulation need not hide how long it takes.
    """
    k = int.from_bytes(secret, "little") & ~7 & ((1 << 255) - 1) | 1 << 254
    x1 = int.from_bytes(public, "little") & ((1 << 255) - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in range(254, -1, -1):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a % _P, c * b % _P, a * a % _P, b * b % _P
        e = aa - bb
        x3, z3 = (da + cb) ** 2 % _P, x1 * (da - cb) ** 2 % _P
        x2, z2 = aa * bb % _P, e * (aa + _A24 * e) % _P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, _P - 2, _P) % _P).to_bytes(KEY_BYTES, "little")
