"""What `--engine`, `--jobs` and `--address` mean for an engine: its parameters, and how many cells run at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError

if TYPE_CHECKING:
    from fedgen_bench.registry.registry import Registry


@dataclass(frozen=True)
class Placement:
    """The engine's parameters; cells at a time; worker processes in all, as far as that is known before the start."""

    params: Mapping[str, Any]
    n_cells: int
    jobs: int


def placement(registry: Registry, engine: str, jobs: int | None, address: str | None, default_jobs: int) -> Placement:
    """An engine that knows `jobs` spreads the clients of one cell over them; beside any other, whole cells run.

    Raises:
        UsageError: no such engine, no worker process, an address for one that has none, or a parameter that it refuses.
    """
    from fedgen_bench.contract.params import make_params

    if jobs is not None and jobs < 1:
        raise UsageError(f"{jobs} worker processes run nothing. Ask for 1 or more.")
    spec = registry.get("engine", engine).spec
    has = {field.name for field in dataclasses.fields(spec.params)}
    params: dict[str, Any] = {}
    if address is not None:
        if "address" not in has:
            able = [
                f"`{name}`"
                for name, registered in registry.components["engine"].items()
                if any(field.name == "address" for field in dataclasses.fields(registered.spec.params))
            ]
            use = f" or use {' or '.join(able)}" if able else ""
            raise UsageError(f"Engine `{engine}` has no address. Leave `--address` out{use}.")
        params["address"] = address
    spreads = "jobs" in has
    if spreads and jobs is not None:
        params["jobs"] = jobs
    _, problems = make_params(spec.params, params)
    if problems:
        raise UsageError(f"Engine `{engine}`: {problems[0][1]}")
    wanted = default_jobs if jobs is None else jobs
    return Placement(params, 1 if spreads else wanted, wanted)
