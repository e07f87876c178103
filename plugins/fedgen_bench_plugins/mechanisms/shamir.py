"""Shamir's secret sharing (1979): any so many shares of a secret give it back, fewer say nothing of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

PRIME = 2**256 + 297  # the least above all secrets of 32 bytes
SHARE_BYTES = 33
SECRET_BYTES = 32


def shares_of(secret: bytes, threshold: int, places: Sequence[int], noise: Sequence[int]) -> dict[int, bytes]:
    """By place, the values of a polynomial whose constant is the secret.

    Args:
        secret: 32 bytes.
        threshold: shares that give it back.
        places: whole numbers from 1, each once.
        noise: the other `threshold - 1` coefficients, uniform below PRIME.
    """
    coefficients = [int.from_bytes(secret, "little"), *noise[: threshold - 1]]
    values = {}
    for place in places:
        value = 0
        for coefficient in reversed(coefficients):
            value = (value * place + coefficient) % PRIME
        values[place] = value.to_bytes(SHARE_BYTES, "little")
    return values


def secret_of(shares: Mapping[int, bytes]) -> bytes:
    """The secret that shares by place give back, where they are enough (Lagrange's interpolation at 0)."""
    total = 0
    for place, share in shares.items():
        above = below = 1
        for other in shares.keys() - {place}:
            above, below = above * other % PRIME, below * (other - place) % PRIME
        total += int.from_bytes(share, "little") * above * pow(below, -1, PRIME)
    return (total % PRIME % (1 << 8 * SECRET_BYTES)).to_bytes(SECRET_BYTES, "little")
