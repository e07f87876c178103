"""What `--engine`, `--jobs` and `--address` come to."""

from __future__ import annotations

import pytest

from fedgen_bench.base.errors import UsageError
from fedgen_bench.registry.placement import Placement, placement


@pytest.mark.parametrize(
    ("engine", "jobs", "address", "wanted"),
    [
        ("local", None, None, Placement({}, 8, 8)),
        ("local", 3, None, Placement({}, 3, 3)),
        ("processes", None, None, Placement({}, 1, 8)),
        ("processes", 3, None, Placement({"jobs": 3}, 1, 3)),
        ("ray", 3, "10.0.0.1:6379", Placement({"jobs": 3, "address": "10.0.0.1:6379"}, 1, 3)),
    ],
)
def test_placement_spreads_cells_or_the_clients_of_one(registry, engine, jobs, address, wanted):
    assert placement(registry, engine, jobs, address, default_jobs=8) == wanted


@pytest.mark.parametrize(
    ("engine", "address", "message"),
    [
        ("rai", None, "Unknown engine `rai`. Did you mean `ray`?"),
        ("processes", "a:1", "Engine `processes` has no address. Leave `--address` out or use `ray`."),
    ],
)
def test_placement_refuses_what_an_engine_does_not_have(registry, engine, address, message):
    with pytest.raises(UsageError) as raised:
        placement(registry, engine, None, address, default_jobs=1)
    assert str(raised.value) == message
