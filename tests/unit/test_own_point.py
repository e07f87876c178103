"""The ablated suite's own rows join an ablation where all else is equal, and nowhere else."""

from dataclasses import replace

import pytest
from made_claims import swept

from fedgen_bench.review.claims.apart import apart
from fedgen_bench.review.claims.evidence import Evidence
from fedgen_bench.review.claims.own_point import with_own_point
from fedgen_bench.suite.personalization import ResolvedWay

OWN, ENDS = 2, (1.0, 3.0)


def changed(record, part, **values):
    config = record.config
    return replace(record, config=config.model_copy(update={part: getattr(config, part).model_copy(update=values)}))


@pytest.fixture
def found(registry):
    """A suite with batches of two, and its sweep from one to three."""
    evidence = swept(registry, "batch", {name: dict.fromkeys(ENDS, 0.5) for name in ("fedgen_edge", "fedavg")})
    sweep = evidence.sweeps["batch"]
    points = tuple(changed(one, "training", batch_size=int(one.config.point.value)) for one in sweep.records)
    own = tuple(changed(one, "training", batch_size=OWN) for one in evidence.main.records)
    return replace(evidence.main, records=own), replace(sweep, records=points)


def test_own_rows_are_a_point_between_the_others(found):
    main, sweep = found
    joined = with_own_point(main, sweep)
    assert (joined.axis, joined.own_value) == ((1.0, 2.0, 3.0), 2.0)
    assert joined.final("fedavg", 2.0) == main.final("fedavg")
    assert joined.final("fedavg", 3.0) == sweep.final("fedavg", 3.0)
    said = apart(Evidence(main, {}), joined)
    assert said == "Rows of batch 2 are those of `toy` itself"


def test_drift_of_the_own_rows_comes_along(found):
    main, sweep = found
    told = {(one.digest, "dispersion"): 0.25 for one in main.records}
    joined = with_own_point(replace(main, drift=told), sweep)
    assert set(joined.drift_of("fedgen_edge", 2.0, "dispersion").values()) == {0.25}


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("training", {"local_steps": 9}),
        ("federation", {"rounds": 9}),
        ("contender", {"learning_rate": 0.125}),
    ],
)
def test_nothing_joins_what_is_set_up_otherwise(found, part, values):
    main, sweep = found
    other = replace(sweep, records=tuple(changed(one, part, **values) for one in sweep.records))
    assert with_own_point(main, other) is other


STEPS = {"clients": 2, "steps": 8, "start": "global", "learning_rate": 0.5, "interpolation": 1.0}


def personalised(sheet, **values):
    way = ResolvedWay(**STEPS | values)
    return replace(
        sheet,
        records=tuple(
            replace(one, config=one.config.model_copy(update={"personalization": way})) for one in sheet.records
        ),
    )


def over_steps(sweep):
    """The sweep as one of steps after the last round."""
    points = tuple(one.model_copy(update={"set": {"personalization.steps": 1}}) for one in sweep.suite.sweep.point)
    table = sweep.suite.sweep.model_copy(update={"point": points})
    return replace(sweep, suite=sweep.suite.model_copy(update={"sweep": table}))


@pytest.mark.parametrize(
    ("values", "joins"), [({"steps": 3}, True), ({"interpolation": 0.5}, False), ({"learning_rate": 0.25}, False)]
)
def test_ways_of_personalisation_count_where_the_axis_is_one_of_them(registry, values, joins):
    evidence = swept(registry, "batch", {name: dict.fromkeys(ENDS, 0.5) for name in ("fedgen_edge", "fedavg")})
    main, sweep = personalised(evidence.main), personalised(over_steps(evidence.sweeps["batch"]), **values)
    assert with_own_point(main, sweep).own_value == (8.0 if joins else None)


def test_nothing_joins_where_contenders_differ_in_the_value(found):
    main, sweep = found
    first, *rest = main.records
    mixed = replace(main, records=(changed(first, "training", batch_size=7), *rest))
    assert with_own_point(mixed, sweep) is sweep


def test_nothing_joins_a_sweep_that_has_the_own_value(found):
    main, sweep = found
    same = replace(main, records=tuple(changed(one, "training", batch_size=3) for one in main.records))
    assert with_own_point(same, sweep) is sweep


def test_nothing_joins_a_sweep_whose_points_set_several_things(found):
    main, sweep = found
    suite = sweep.suite
    points = tuple(one.model_copy(update={"set": {**one.set, "training.local_steps": 4}}) for one in suite.sweep.point)
    several = replace(sweep, suite=suite.model_copy(update={"sweep": suite.sweep.model_copy(update={"point": points})}))
    assert with_own_point(main, several) is several
