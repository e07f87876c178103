"""Before the first cell: whether what a mechanism guarantees holds for the clients that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench.base.failures import text_of
from fedgen_bench.base.missing import missing_library
from fedgen_bench.suite.mechanisms import guarantee

if TYPE_CHECKING:
    from fedgen_bench.federation.population import Population
    from fedgen_bench.registry.registry import Registry
    from fedgen_bench.suite.cells import CellSpec


def unguaranteed(spec: CellSpec, population: Population, registry: Registry) -> str:
    """Why a cell's guarantee would be none, and what to do; empty where it holds or there is none."""
    mechanism, federation = spec.config.contender.mechanism, spec.config.federation
    try:
        privacy = guarantee(mechanism, federation, registry)
    except ValueError as error:
        return text_of(error)
    except ModuleNotFoundError as error:
        return missing_library(error) or f"It computes with `{error.name}`, which is not installed. Install it."
    asked = spec.config.contender.example_dp
    if asked is not None and asked.delta >= 1 / (most := population.most_held("sampled")):
        return (
            f"example_dp.delta = {asked.delta:g} would allow one of the {most} examples of a client to be given away "
            f"outright. Choose one below {1 / most:g}."
        )
    n_asked_of = len(population.eligible)
    if mechanism is None or privacy is None or n_asked_of == federation.n_clients:
        return ""
    return (
        f"mechanism `{mechanism.name}` counts on cohorts that are drawn from all {federation.n_clients} clients, and "
        f"{n_asked_of} of them hold training data. Use so many clients, or a partitioner that leaves nobody without."
    )
