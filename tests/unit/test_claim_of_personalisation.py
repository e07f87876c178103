"""Claim 5: gains of clients from models of their own, on records whose answers are known."""

from __future__ import annotations

from dataclasses import replace

from fedgen_bench_plugins.claims import personalisation
from made_claims import POINT, SEEDS, SWEEP, main_evidence, record, sheet

from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.suite.personalization import ResolvedWay


def test_personalisation_reports_gain_share_and_worst_decile(registry):
    clients = [(1.0, 0.9), (1.0, 0.8), (1.0, 1.1), (2.0, 1.0)]
    found = personalisation.judge(main_evidence(registry, clients=clients))
    row = dict(zip(found.grids[0].head, found.grids[0].rows[0], strict=True))
    assert (row["clients"], row["seeds"], row["mean gain"]) == ("12", "3", "+17.5 %")  # gains 10, 20, -10 and 50 %
    assert (row["gain at all"], row["worst decile"]) == ("75 %", "-10 %")
    assert "sampling error" not in row
    assert personalisation.judge(main_evidence(registry, clients=[(1.0, 1.1), (1.0, 1.2)])).verdict == "does not hold"
    assert personalisation.judge(main_evidence(registry)).verdict == "no evidence"


def own_models(registry, by_seed, **more):
    """Evidence with clients' figures by model and seed, and what else the reference's records have."""
    evidence = main_evidence(registry)

    def with_clients(one):
        of_model = {model: {str(i): v for i, v in enumerate(values[one.seed])} for model, values in by_seed.items()}
        return replace(one, per_client=of_model, **more)

    records = [with_clients(one) if one.contender == "fedgen_edge" else one for one in evidence.main.records]
    return Evidence(replace(evidence.main, records=tuple(records)), {})


def test_clients_of_one_seed_are_one_observation(registry):
    own = {1: [0.9] * 20, 2: [0.7] * 20, 3: [0.98] * 20}  # 60 clients gain, 10, 30 and 2 %: three figures
    found = personalisation.judge(
        own_models(registry, {"global": dict.fromkeys(SEEDS, [1.0] * 20), "personalized": own})
    )
    assert found.verdict == "not decided"
    assert "clients gain +14 % (-21.8 to +49.8; 11 seeds to decide)" in found.reading


def test_what_clients_kept_stands_beside_what_they_made_of_it(registry):
    shared, worse, better = ({s: [v, v + s / 100] for s in SEEDS} for v in (1.0, 1.2, 0.5))
    found = personalisation.judge(own_models(registry, {"global": shared, "kept": worse, "personalized": better}))
    assert found.verdict == "holds"
    assert [row[1].split()[:2] for row in found.grids[0].rows] == [["as", "clients"], ["after", "0"]]
    assert [name for name, _ in found.charts[0].series] == ["fedgen_edge, kept", "fedgen_edge"]
    alone = personalisation.judge(own_models(registry, {"global": shared, "kept": worse}))
    assert alone.verdict == "does not hold"


def test_client_that_was_never_asked_kept_nothing(registry):
    shared, kept = {s: [1.0, 2.0, 1.0] for s in SEEDS}, {s: [1.1, 2.0, 1.2] for s in SEEDS}
    own = {s: [1.0, 2.0, 0.7] for s in SEEDS}
    found = personalisation.judge(own_models(registry, {"global": shared, "kept": kept, "personalized": own}))
    of_kept, own = (dict(zip(found.grids[0].head, row, strict=True)) for row in found.grids[0].rows)
    assert (of_kept["clients"], of_kept["mean gain"]) == ("6", "-15 %")
    assert (own["clients"], own["mean gain"]) == ("9", "+10 %")  # clients that stay as they are do count here


def test_clients_that_end_with_the_global_model_are_no_evidence(registry):
    shared, kept = {s: [1.0, 2.0] for s in SEEDS}, {s: [1.1, 1.9] for s in SEEDS}
    found = personalisation.judge(own_models(registry, {"global": shared, "kept": kept, "personalized": shared}))
    assert (found.verdict, found.reading) == ("no evidence", "What the suite's clients end with is the global model.")


def test_the_way_is_that_of_the_contender_in_old_and_new_suites(registry):
    both = {"global": {key: [1.0] for key in SEEDS}, "personalized": {key: [0.9] for key in SEEDS}}
    evidence = own_models(registry, both)
    assert "after 0 steps at 0.1 from `kept`" in personalisation.judge(evidence).method
    way = ResolvedWay(clients=7, steps=32, start="global", learning_rate=0.001, interpolation=0.5)
    config = evidence.main.records[0].config.model_copy(update={"personalization": way})
    method = personalisation.judge(own_models(registry, both, config=config)).method
    assert "of 7 clients a seed" in method
    assert "after 32 steps at 0.001 from `global`, 0.5 of the way from the global model" in method


def test_sampling_error_is_half_the_difference_between_halves(registry):
    both = {"global": {key: [1.0, 2.0] for key in SEEDS}, "personalized": {key: [0.9, 1.8] for key in SEEDS}}
    halves = {"global": {"0": (1.0, 1.0), "1": (2.0, 2.0)}, "personalized": {"0": (0.88, 0.92), "1": (1.8, 1.8)}}
    found = personalisation.judge(own_models(registry, both, halves=halves))
    # Gains of client 0: 12 and 8 %, of client 1: 10 and 10 %. sqrt((4^2 + 0) / 2) / 2.
    assert "standard error is 1.4 points" in found.reading
    row = dict(zip(found.grids[0].head, found.grids[0].rows[0], strict=True))
    assert row["sampling error"] == "1.4 %"


def test_personalisation_shows_gains_by_local_steps(registry):
    values = {1.0: 0.8, 8.0: 1.5}
    extra = SWEEP.format(axis="personal-steps") + "".join(
        POINT.format(value=v, size=i + 1) for i, v in enumerate(values)
    )
    records = [
        record("fedgen_edge", seed, 0.5, (1.0,), point=("personal-steps", steps), clients=[(1.0, own), (1.0, own)])
        for steps, own in values.items()
        for seed in SEEDS
    ]
    main = main_evidence(registry, clients=[(1.0, 1.1), (1.0, 1.2)]).main
    found = personalisation.judge(Evidence(main, {"personal-steps": sheet(registry, records, extra)}))
    assert "+20 % after 1, -50 % after 8" in found.reading
    assert [row[0] for row in found.grids[1].rows] == ["1", "8"]
