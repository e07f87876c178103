"""Messages that only their receiver can read, and that nobody can change: a key stream and an authentication code."""

from __future__ import annotations

import hashlib
import hmac

TAG_BYTES = 16


def sealed(key: bytes, text: bytes) -> bytes:
    """The text under SHAKE-256's stream, and 16 bytes of HMAC-SHA256 over that. A key seals one text."""
    hidden = _hidden(key, text)
    return hidden + _tag(key, hidden)


def unsealed(key: bytes, message: bytes) -> bytes:
    """The text. Raises ValueError for a message that was not sealed with this key, or was changed."""
    hidden, tag = message[:-TAG_BYTES], message[-TAG_BYTES:]
    if not hmac.compare_digest(tag, _tag(key, hidden)):
        raise ValueError("A sealed share was changed on its way.")
    return _hidden(key, hidden)


def _hidden(key: bytes, text: bytes) -> bytes:
    stream = hashlib.shake_256(b"stream" + key).digest(len(text))
    return bytes(a ^ b for a, b in zip(text, stream, strict=True))


def _tag(key: bytes, hidden: bytes) -> bytes:
    return hmac.digest(hashlib.sha256(b"tag" + key).digest(), hidden, "sha256")[:TAG_BYTES]
