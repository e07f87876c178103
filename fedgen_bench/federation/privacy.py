"""What a cell's training guarantees: of clients by its mechanism, else of single examples by noise in its fits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench.contract.protocols import Absorbing
from fedgen_bench.suite.example_privacy import example_privacy, most_passes, passes_in_fits

if TYPE_CHECKING:
    from fedgen_bench.contract.reports import Privacy
    from fedgen_bench.federation.experiment import Experiment


def privacy_of(experiment: Experiment) -> Privacy | None:
    """None where nothing is guaranteed, or nobody can say: how often a client takes part whom arrivals decide on."""
    if experiment.release is not None and (of_clients := experiment.release.privacy) is not None:
        return of_clients
    example_dp, batch_size = experiment.config.contender.example_dp, experiment.plan.batch_size
    one_by_one = experiment.fleet is not None and isinstance(experiment.strategy, Absorbing)
    if example_dp is None or one_by_one:
        return None

    def passes(round_index: int, client_id: int) -> int:
        n_fits = experiment.max_fits
        n_steps = n_fits * experiment.local_steps(round_index, client_id)
        return passes_in_fits(experiment.n_examples(client_id), batch_size, n_steps, n_fits)

    most_held = experiment.population.most_held(experiment.cohort_kind)
    n_passes = most_passes(map(experiment.cohort, range(experiment.n_rounds)), passes)
    return example_privacy(example_dp, n_passes, batch_size, most_held)
