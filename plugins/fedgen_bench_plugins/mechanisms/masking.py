"""One round of secure aggregation: both sides, and every message that they send, as bytes.

The protocol of Bonawitz et al. (CCS 2017, eprint 2017/281, figure 4) against a server that is honest but curious; what
it has against an active one (signatures, a consistency check) is not here. Every client exchanges four things with the
server: keys, sealed shares, the masked vector, and shares for unmasking.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fedgen_bench_plugins.mechanisms.sealing import TAG_BYTES, sealed, unsealed
from fedgen_bench_plugins.mechanisms.shamir import SHARE_BYTES, secret_of, shares_of
from fedgen_bench_plugins.mechanisms.x25519 import BASE, KEY_BYTES, agreed

if TYPE_CHECKING:
    import numpy as np

KEYS, SHARES, MASKED, UNMASK = PHASES = ("keys", "shares", "masked", "unmask")
_HEAD = struct.Struct("<4sIII")  # a mark, round, client, phase
_ID = struct.Struct("<I")
_BOTH = struct.Struct(f"<II{SHARE_BYTES}s{SHARE_BYTES}s")  # from, to, shares of the masking key and of the own seed
HEAD_BYTES = _HEAD.size
_NOISE_BYTES = 48  # of a coefficient, so that reducing it leaves no bias to speak of


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What everybody knows of a round.

    Args:
        clients: who is asked, ascending.
        threshold: answers that recover those of the others.
        n_numbers: of a vector.
        number_bytes: of one of them on the wire; sums are taken modulo 256 to that power.
    """

    round_index: int
    clients: tuple[int, ...]
    threshold: int
    n_numbers: int
    number_bytes: int

    def place(self, client_id: int) -> int:
        """Where a client's shares are values of the polynomials."""
        return 1 + self.clients.index(client_id)

    def head(self, client_id: int, phase: str) -> bytes:
        """What a message begins with."""
        return _HEAD.pack(b"FGSA", self.round_index, client_id, PHASES.index(phase))

    def sizes(self, n_answered: int) -> dict[tuple[str, str], tuple[int, int]]:
        """By phase and direction, the bytes of a message, and those of them that are the vector."""
        n, own = len(self.clients), 2 * KEY_BYTES
        each = _ID.size + _BOTH.size + TAG_BYTES
        vector = self.n_numbers * self.number_bytes
        lengths = {
            (KEYS, "up"): (own, 0),
            (KEYS, "down"): (n * (_ID.size + own), 0),
            (SHARES, "up"): ((n - 1) * each, 0),
            (SHARES, "down"): ((n - 1) * each, 0),
            (MASKED, "up"): (vector, vector),
            (UNMASK, "down"): (n_answered * _ID.size, 0),
            (UNMASK, "up"): (n * (_ID.size + SHARE_BYTES), 0),
        }
        return {key: (HEAD_BYTES + whole, part) for key, (whole, part) in lengths.items()}


@dataclass
class Client:
    """A client in one round.

    Args:
        entropy: so many bytes of its own, by purpose.
    """

    setting: Setting
    client_id: int
    entropy: Callable[[str, int], bytes]
    _roster: dict[int, tuple[bytes, bytes]] = field(init=False, default_factory=dict)
    _held: dict[int, tuple[bytes, bytes]] = field(init=False, default_factory=dict)

    def keys(self) -> bytes:
        """Its public keys: one for sealing, one for masking."""
        publics = (agreed(self.entropy(purpose, KEY_BYTES), BASE) for purpose in ("sealing", "masking"))
        return self.setting.head(self.client_id, KEYS) + b"".join(publics)

    def shares(self, roster: bytes) -> bytes:
        """Of its masking key and its own seed, sealed for every other client of the roster."""
        body = roster[HEAD_BYTES:]
        size = _ID.size + 2 * KEY_BYTES
        for at in range(0, len(body), size):
            entry = body[at + _ID.size : at + size]
            self._roster[_ID.unpack_from(body, at)[0]] = entry[:KEY_BYTES], entry[KEY_BYTES:]
        by_place = [self._split(purpose) for purpose in ("masking", "seed")]
        mine = self.setting.place(self.client_id)
        self._held[self.client_id] = by_place[0][mine], by_place[1][mine]
        message = self.setting.head(self.client_id, SHARES)
        for other in self._others():
            place = self.setting.place(other)
            text = _BOTH.pack(self.client_id, other, by_place[0][place], by_place[1][place])
            message += _ID.pack(other) + sealed(self._sealing_key(other, outward=True), text)
        return message

    def _split(self, purpose: str) -> dict[int, bytes]:
        setting, size = self.setting, KEY_BYTES
        raw = self.entropy(f"shares of {purpose}", _NOISE_BYTES * (setting.threshold - 1))
        noise = [int.from_bytes(raw[at : at + _NOISE_BYTES], "little") for at in range(0, len(raw), _NOISE_BYTES)]
        places = range(1, 1 + len(setting.clients))
        return shares_of(self.entropy(purpose, size), setting.threshold, places, noise)

    def masked(self, forwarded: bytes, numbers: np.ndarray) -> bytes:
        """Its vector, uint32 of shape (n_numbers,), under its own mask and one with every other client."""
        for sender, message in _entries(forwarded, _BOTH.size + TAG_BYTES):
            key = self._sealing_key(sender, outward=False)
            _, _, *both = _BOTH.unpack(unsealed(key, message))
            self._held[sender] = both[0], both[1]
        whole = numbers + mask(self.entropy("seed", KEY_BYTES), len(numbers))
        secret = self.entropy("masking", KEY_BYTES)
        for other in self._others():
            pair = mask(agreed(secret, self._roster[other][1]), len(numbers))
            whole = whole + pair if self.client_id < other else whole - pair
        return self.setting.head(self.client_id, MASKED) + packed(whole, self.setting.number_bytes)

    def unmask(self, survivors: bytes) -> bytes:
        """For each client a share: of its own seed where its vector arrived, else of its masking key."""
        arrived = {client_id for client_id, _ in _entries(survivors, 0)}
        message = self.setting.head(self.client_id, UNMASK)
        for client_id in self.setting.clients:
            message += _ID.pack(client_id) + self._held[client_id][1 if client_id in arrived else 0]
        return message

    def _others(self) -> list[int]:
        return [one for one in self.setting.clients if one != self.client_id]

    def _sealing_key(self, other: int, *, outward: bool) -> bytes:
        """Of the one message from this client to another, or from that one."""
        both = agreed(self.entropy("sealing", KEY_BYTES), self._roster[other][0])
        ends = (self.client_id, other) if outward else (other, self.client_id)
        return hashlib.sha256(both + _ID.pack(ends[0]) + _ID.pack(ends[1])).digest()


@dataclass
class Server:
    """The server in one round: it forwards what it cannot read, and adds up what it cannot tell from noise."""

    setting: Setting
    _keys: dict[int, bytes] = field(init=False, default_factory=dict)
    _total: np.ndarray | None = field(init=False, default=None)
    _arrived: list[int] = field(init=False, default_factory=list)

    def roster(self, keys: Mapping[int, bytes]) -> bytes:
        """Everybody's public keys, for everybody."""
        self._keys = {client_id: message[HEAD_BYTES:] for client_id, message in keys.items()}
        body = b"".join(_ID.pack(one) + self._keys[one] for one in self.setting.clients)
        return self.setting.head(0, KEYS) + body

    def forwarded(self, shares: Mapping[int, bytes]) -> dict[int, bytes]:
        """By client, the sealed shares that the others sent for it."""
        boxes = {one: self.setting.head(one, SHARES) for one in self.setting.clients}
        for sender in self.setting.clients:
            for receiver, message in _entries(shares[sender], _BOTH.size + TAG_BYTES):
                boxes[receiver] += _ID.pack(sender) + message
        return boxes

    def add(self, client_id: int, masked: bytes) -> None:
        """A masked vector arrives."""
        vector = unpacked(masked[HEAD_BYTES:], self.setting.number_bytes)
        self._total = vector if self._total is None else self._total + vector
        self._arrived.append(client_id)

    def survivors(self) -> bytes:
        """Whose vectors arrived, for these clients."""
        return self.setting.head(0, UNMASK) + b"".join(map(_ID.pack, self._arrived))

    def total(self, unmasked: Mapping[int, bytes]) -> np.ndarray:
        """The sum of the vectors that arrived, uint32 of shape (n_numbers,), from the clients' shares.

        Raises:
            ValueError: fewer clients answered than recover the others' masks.
        """
        setting, arrived = self.setting, self._arrived
        if len(unmasked) < setting.threshold or self._total is None:
            raise ValueError(
                f"secure_sum: {len(unmasked)} of {len(setting.clients)} clients answered in round "
                f"{setting.round_index}, and {setting.threshold} recover the masks. Lower `threshold`, or see that "
                "more of them answer."
            )
        shares: dict[int, dict[int, bytes]] = {one: {} for one in setting.clients}
        for holder, message in list(unmasked.items())[: setting.threshold]:
            for client_id, share in _entries(message, SHARE_BYTES):
                shares[client_id][setting.place(holder)] = share
        whole = self._total
        for client_id in setting.clients:
            secret = secret_of(shares[client_id])
            if client_id in arrived:
                whole = whole - mask(secret, setting.n_numbers)
                continue
            for other in arrived:  # the masks that it had with them, which nothing cancels
                pair = mask(agreed(secret, self._keys[other][KEY_BYTES:]), setting.n_numbers)
                whole = whole - pair if other < client_id else whole + pair
        return unpacked(packed(whole, setting.number_bytes), setting.number_bytes)


def _entries(message: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    """(client, so many bytes) of every entry behind a message's head."""
    for at in range(HEAD_BYTES, len(message), _ID.size + size):
        yield _ID.unpack_from(message, at)[0], message[at + _ID.size : at + _ID.size + size]


def mask(seed: bytes, n_numbers: int) -> np.ndarray:
    """Uniform uint32 of shape (n_numbers,) from 32 bytes. A simulation's generator: a deployment takes a cipher."""
    import numpy as np

    key = int.from_bytes(hashlib.sha256(b"mask" + seed).digest()[:16], "little")
    return np.random.Philox(key=key).random_raw(-(-n_numbers // 2)).view(np.uint32)[:n_numbers]


def packed(numbers: np.ndarray, number_bytes: int) -> bytes:
    """The lowest so many bytes of every number, least significant first."""
    import numpy as np

    as_bytes = np.ascontiguousarray(numbers, dtype="<u4").view(np.uint8).reshape(-1, 4)
    return as_bytes[:, :number_bytes].tobytes()


def unpacked(content: bytes, number_bytes: int) -> np.ndarray:
    """As `packed` gave them, uint32."""
    import numpy as np

    rows = np.frombuffer(content, np.uint8).reshape(-1, number_bytes)
    whole = np.zeros((len(rows), 4), np.uint8)
    whole[:, :number_bytes] = rows
    return whole.view("<u4").reshape(-1).astype(np.uint32)
