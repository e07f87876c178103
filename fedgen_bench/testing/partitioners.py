"""What every partitioner must hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.data import UnitTable
from fedgen_bench.contract.specs import PartitionerSpec
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.structure import built, described

if TYPE_CHECKING:
    import numpy as np

Check = Callable[[PartitionerSpec], None]


def table(n_units: int, n_labels: int) -> UnitTable:
    """Units whose column `label` has exactly `n_labels` values of unequal frequency."""
    import numpy as np

    rng = np.random.Generator(np.random.Philox(key=n_units))
    skewed = np.minimum(rng.geometric(0.4, n_units) - 1, n_labels - 1)
    skewed[rng.permutation(n_units)[:n_labels]] = np.arange(n_labels)
    return UnitTable(n_units, {"label": skewed})


def split(spec: PartitionerSpec, units: UnitTable, n_clients: int, key: int = 1) -> Sequence[np.ndarray]:
    """The split with default parameters under a keyed generator."""
    import numpy as np

    partitioner: Any = spec.build(spec.params())
    rng = np.random.Generator(np.random.Philox(key=key))
    with at(partitioner.split), guarded(f"{type(partitioner).__name__}.split", columns=units.columns):
        parts: Sequence[np.ndarray] = partitioner.split(units, n_clients, rng)
    return parts


def check_rehearsal(spec: PartitionerSpec) -> None:
    """It has its method, which splits twelve units over four clients into a sequence of arrays."""
    import numpy as np

    with at(built("partitioner", spec).split):
        parts = split(spec, table(12, 4), 4)
        assert isinstance(parts, Sequence), f"split returned {described(parts)}. Return a list with an array a client."
        for part in parts:
            assert isinstance(part, np.ndarray), f"split's list holds {described(part)}. Give arrays of unit indices."


def assert_valid(parts: Sequence[np.ndarray], n_units: int, n_clients: int) -> None:
    """One ascending integer array a client, disjoint, all within range."""
    import numpy as np

    assert len(parts) == n_clients, f"{len(parts)} parts for {n_clients} clients"
    for part in parts:
        assert part.ndim == 1, "a part is not a flat array"
        assert np.issubdtype(part.dtype, np.integer) or not len(part), "a part does not hold integers"
        assert np.all(np.diff(part) > 0), "a part is not ascending"
    joined = np.concatenate(list(parts))
    assert len(np.unique(joined)) == len(joined), "a unit belongs to two clients"
    assert not len(joined) or (joined.min() >= 0 and joined.max() < n_units), "a unit does not exist"


def check_valid(spec: PartitionerSpec) -> None:
    """Parts are ascending, disjoint and in range, for several sizes and keys."""
    for n_units, n_clients in ((12, 4), (97, 5), (60, 1)):
        for key in (1, 2):
            assert_valid(split(spec, table(n_units, max(n_clients, 2)), n_clients, key), n_units, n_clients)


def check_every_unit_used(spec: PartitionerSpec) -> None:
    """With as many label values as clients, no unit is left out."""
    for n_units, n_clients in ((12, 4), (97, 5)):
        assert sum(map(len, split(spec, table(n_units, n_clients), n_clients))) == n_units, "units are left out"


def check_deterministic(spec: PartitionerSpec) -> None:
    """The generator's key alone decides the split; no global generator moves, the units stay as they are."""
    import numpy as np

    units = table(97, 5)
    before = {name: codes.copy() for name, codes in units.columns.items()}
    with guarded(f"partitioner {spec.name}"):
        first = split(spec, units, 5)
    second = split(spec, units, 5)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True)), "two equal splits differ"
    assert all(np.array_equal(before[name], codes) for name, codes in units.columns.items()), "the units were changed"


def check_more_clients_than_labels(spec: PartitionerSpec) -> None:
    """More clients than label values: every client still gets its share."""
    assert_valid(split(spec, table(97, 3), 10), 97, 10)


def check_more_clients_than_units(spec: PartitionerSpec) -> None:
    """More clients than units: some are empty, nothing fails."""
    parts = split(spec, table(5, 2), 9)
    assert_valid(parts, 5, 9)
    assert any(not len(part) for part in parts)


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_valid,
    check_every_unit_used,
    check_deterministic,
    check_more_clients_than_labels,
    check_more_clients_than_units,
)


def partitioner_checks() -> Iterator[Check]:
    """All of them apply to every partitioner."""
    yield from _CHECKS
