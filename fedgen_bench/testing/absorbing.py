"""How a server takes updates one by one, as a check: `absorb` beside `aggregate`."""

from __future__ import annotations

from dataclasses import replace

from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.contract.specs import StrategySpec
from fedgen_bench.testing.bits import fingerprint
from fedgen_bench.testing.locations import at
from fedgen_bench.testing.promises import close
from fedgen_bench.testing.simulation import Simulation
from fedgen_bench.testing.toy_models import function_of


def check_absorb(spec: StrategySpec) -> None:
    """A round's updates, absorbed one by one from the state that all were sent from, make the round's global model."""
    simulation = Simulation(spec)
    strategy = simulation.instance
    if not isinstance(strategy, Absorbing):
        return
    for round_index in range(3):
        sent = state = simulation.state
        simulation.run(1)
        cohort = simulation.cohort(round_index)
        with at(strategy.absorb):
            for client_id, update in zip(cohort, simulation.rounds[-1].updates, strict=True):
                ctx = replace(simulation.round_context(round_index), cohort=(client_id,))
                given = (state, sent, update, ctx)
                before = fingerprint(given)
                after = strategy.absorb(*given)
                assert fingerprint(given) == before, "it changed its arguments"
                state = after
            ours = function_of(simulation.adapted, simulation.instance.export(state, None))
            theirs = simulation.function()
            assert close(ours, theirs), (
                f"round {round_index}: absorbed one by one the updates make {ours.tolist()}, `aggregate` makes "
                f"{theirs.tolist()}"
            )
