# ruff: noqa: E501 - a table of what is wrong, one line each
from __future__ import annotations

import pytest

from fedgen_bench.base.errors import SuiteError, UsageError
from fedgen_bench.contract.params import make_params
from fedgen_bench.contract.specs import SuiteSource
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import Federation
from fedgen_bench.suite.sizes import need_memory
from fedgen_bench.testing import toy


def problems(registry, text, *overrides):
    with pytest.raises(SuiteError) as caught:
        load_suite(SuiteSource(name="bad", text=text, path="bad.toml"), registry, overrides)
    return caught.value.problems


def changed(old, new):
    assert toy.SUITE.count(old) >= 1
    return toy.SUITE.replace(old, new, 1)


def line_of(text, piece):
    return next(i for i, line in enumerate(text.splitlines(), start=1) if piece in line)


BAD = {
    # old, new, the line it must be reported on holds this, the message holds this
    "unknown table": ("[seeds]", "[seedz]\nx = 1\n[seeds]", "[seedz]", "Unknown parameter `seedz`. Did you mean `seeds`?"),
    "unknown key": ("rounds = 4", "rounds = 4\nroundz = 5", "roundz = 5", "Did you mean `rounds`?"),
    "missing key": ("n_clients = 6\n", "", "[federation]", "`federation.n_clients` is missing"),
    "text for a number": ("rounds = 4", 'rounds = "4"', 'rounds = "4"', "should be a valid integer"),
    "float for a number": ("rounds = 4", "rounds = 4.5", "rounds = 4.5", "`federation.rounds`"),
    "zero": ("rounds = 4", "rounds = 0", "rounds = 0", "greater than or equal to 1"),
    "negative rate": ("learning_rate = 0.2", "learning_rate = -0.2", "learning_rate = -0.2", "greater than 0"),
    "unknown choice": ('optimizer = "sgd"', 'optimizer = "sgdd"', '"sgdd"', "'adamw' or 'sgd'"),
    "unknown strategy": ('strategy = { name = "fedavg" }', 'strategy = { name = "fedagv" }', "fedagv", "Did you mean `fedavg`?"),
    "unknown adapter": ('adapter = { name = "full" }', 'adapter = { name = "ful" }', '"ful"', "Did you mean `full`?"),
    "unknown task": ('[task]\nname = "toy"', '[task]\nname = "toi"', 'name = "toi"', "Did you mean `toy`?"),
    "unknown partitioner": ('name = "dirichlet"', 'name = "dirichlett"', "dirichlett", "Did you mean `dirichlet`?"),
    "unknown metric": ('metric = "toy_loss"', 'metric = "toy_los"', '"toy_los"', "Did you mean `toy_loss`?"),
    "unknown component parameter": ("alpha = 0.5", "alhpa = 0.5", "alhpa", "Did you mean `alpha`?"),
    "component parameter out of range": ("alpha = 0.5", "alpha = -1.0", "alpha = -1.0", "finite number above 0"),
    "component parameter NaN": ("alpha = 0.5", "alpha = nan", "alpha = nan", "finite number above 0"),
    "component parameter of wrong type": ("alpha = 0.5", 'alpha = "big"', 'alpha = "big"', "valid number"),
    "component parameter a date": ("alpha = 0.5", "alpha = 2020-01-01", "alpha = 2020-01-01", "valid number"),
    "reference that is nobody": ('reference = "fedgen_edge"', 'reference = "fedgen"', 'reference = "fedgen"', "Did you mean"),
    "full model that is nobody": ('full_model = "fedavg"', 'full_model = "x"', 'full_model = "x"', "Unknown contender `x`"),
    "contender twice": ('[[contender]]\nname = "fedavg"', '[[contender]]\nname = "fedgen_edge"', "", "is defined twice"),
    "cohort beyond the population": ("clients_per_round = 3", "clients_per_round = 7", "clients_per_round = 7", "exceeds n_clients"),
    "quorum beyond the cohort": ("rounds = 4", "rounds = 4\nmin_updates = 4", "min_updates = 4", "exceeds clients_per_round"),
    "steps and epochs": ("local_steps = 2", "local_steps = 2\nlocal_epochs = 1", "[training]", "either local_steps or local_epochs"),
    "neither steps nor epochs": ("local_steps = 2\n", "", "[training]", "either local_steps or local_epochs"),
    "tuning on a leaderboard seed": ("tuning = 9", "tuning = 2", "tuning = 2", "is a leaderboard seed"),
    "a seed twice": ("leaderboard = [1, 2]", "leaderboard = [1, 1]", "leaderboard = [1, 1]", "each once"),
    "no seeds": ("leaderboard = [1, 2]", "leaderboard = []", "leaderboard = []", "must be given"),
    "a grid for nobody": ("fedavg = [{ learning_rate = 0.1 }, {", "fedavgg = [{ learning_rate = 0.1 }, {", "fedavgg", "Unknown contender"),
    "unequal grids": ("fedavg = [{ learning_rate = 0.1 }, {", "fedavg = [{", "grid", "same number of trials"),
    "a name that is a path": ('[suite]\nname = "toy"', '[suite]\nname = "../toy"', '"../toy"', "`suite.name`"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_suite_problem_is_named_with_its_line(registry, kind):
    old, new, on_line, message = BAD[kind]
    text = changed(old, new)
    found = problems(registry, text)
    assert any(message in one for one in found), found
    if on_line:
        assert any(one.startswith(f"bad.toml:{line_of(text, on_line)}: ") and message in one for one in found), found


def test_suite_reports_all_problems_at_once(registry):
    text = changed("rounds = 4", 'rounds = "four"').replace("alpha = 0.5", "alhpa = 1.0").replace('"full"', '"ful"')
    text = text.replace("batch_size = 4", "batch_sise = 4")
    found = "\n".join(problems(registry, text))
    for piece in ("federation.rounds", "`alhpa`", "`ful`", "`batch_sise`", "`training.batch_size` is missing"):
        assert piece in found, piece


@pytest.mark.parametrize("text", ["[suite", "x = 1\nx = 2", "a = " + "[" * 3000, "a = " + "9" * 5000, "\0"])
def test_suite_that_is_no_toml_is_one_problem(registry, text):
    (problem,) = problems(registry, text)
    assert problem.startswith("bad.toml: ")


def test_suite_larger_than_the_cap_is_refused(registry):
    assert "larger than" in problems(registry, toy.SUITE + "#" * (1 << 20))[0]


def test_suite_empty_names_every_missing_table(registry):
    assert {f"bad.toml: `{name}` is missing." for name in ("suite", "task", "federation", "contender")} <= set(
        problems(registry, "")
    )


def test_override_changes_one_value(toy_suite):
    assert toy_suite("federation.rounds=9").federation.rounds == 9
    assert toy_suite("contender.fedavg.learning_rate=0.7").contender[1].learning_rate == 0.7
    assert toy_suite("partitioner.params.alpha=3.0").partitioner.params == {"alpha": 3.0}
    assert toy_suite("task.params.noise=0.3").task.params == {"noise": 0.3}
    assert toy_suite("partitioner.name=iid", "partitioner.params={}").partitioner.name == "iid"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federation.rounds", "has no `=`"),
        ("federatoin.rounds=3", "Did you mean `federation`?"),
        ("contender.fedagv.learning_rate=1.0", "Did you mean `fedavg`?"),
        ("seeds.leaderboard.0=3", "is not a value"),
        ("seeds.leaderboard.0.x=3", "Unknown contender `0`"),
        ("federation.rounds.x.y=3", "Unknown table"),
        ("federation.roundz=3", "Did you mean `rounds`?"),
        ("federation.rounds=three", "valid integer"),
        ("federation.rounds=" + "9" * 5000, "`federation.rounds`"),
        ("suite=3", "`suite`"),
    ],
)
def test_override_that_does_not_fit_is_named(toy_suite, override, message):
    with pytest.raises(UsageError) as caught:
        toy_suite(override)
    assert message in str(caught.value)


def test_expand_orders_contenders_as_listed_and_seeds_inside(registry, toy_suite):
    names = [spec.name for spec in expand(toy_suite(), registry)]
    assert names[:4] == ["toy/fedgen_edge/1", "toy/fedgen_edge/2", "toy/fedavg/1", "toy/fedavg/2"]
    assert len(names) == 8


def test_expand_of_an_unknown_contender_raises(registry, toy_suite):
    with pytest.raises(UsageError, match="Did you mean `fedavg`"):
        expand(toy_suite(), registry, contenders=["fedagv"])


def test_digest_depends_on_everything_that_determines_the_result(registry, toy_suite):
    def digests(*overrides):
        return {spec.digest for spec in expand(toy_suite(*overrides), registry, contenders=["fedavg"])}

    base = digests()
    assert len(base) == 2
    assert base == digests()
    for override in (
        "federation.rounds=5",
        "training.batch_size=5",
        "contender.fedavg.learning_rate=0.3",
        "task.params.noise=0.2",
    ):
        assert not base & digests(override)
    assert base == digests("contender.local_only.learning_rate=0.9", "suite.title='Another'")


def test_make_params_fills_defaults_and_collects_problems(registry):
    lora = registry.get("adapter", "lora").spec.params
    params, found = make_params(lora, {"rank": 4, "targets": ["c_proj"]})
    assert (params.rank, params.targets, params.alpha, found) == (4, ("c_proj",), 16.0, [])
    params, found = make_params(lora, {"rank": "4", "targetts": ["x"]})
    assert params is None
    assert {path for path, _ in found} == {("rank",), ("targetts",)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rank": 0}, "at least 1"),
        ({"rank": True}, "integer"),
        ({"rank": 2.0}, "integer"),
        ({"targets": ["c_attn"], "ranks": {"lm_head": 4}}, "not among the targets"),
    ],
)
def test_make_params_is_strict(registry, values, message):
    _, found = make_params(registry.get("adapter", "lora").spec.params, values)
    assert message in found[0][1]


@pytest.mark.parametrize(
    ("override", "figure"),
    [
        ("federation.rounds=100000000000000000000000000", "1000000"),
        ("training.local_steps=100000000000000000000000", "1000000"),
        ("evaluation.personalized_steps=99999999", "1000000"),
        ("federation.n_clients=1000000000", "10000000"),
        ("seeds.leaderboard=[9223372036854775808]", "9223372036854775808"),
        ("seeds.tuning=-1", "0"),
    ],
)
def test_sizes_that_nothing_can_hold_are_refused_with_the_bound(toy_suite, override, figure):
    with pytest.raises(SuiteError) as caught:
        toy_suite(override)
    assert figure in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "figure"),
    [
        (("federation.rounds=1000000", "training.local_steps=1000000"), "3,000,000,000,000: 3,472 days"),
        (("evaluation.personalized_steps=1000000", "evaluation.personalized_clients=20000"), "20,000,000,000: 23 days"),
    ],
)
def test_work_that_nobody_finishes_is_refused_with_the_figure(toy_suite, overrides, figure):
    with pytest.raises(SuiteError) as caught:
        toy_suite(*overrides)
    assert figure in str(caught.value)


def test_a_population_beyond_the_memory_is_refused_with_the_figure(monkeypatch):
    federation = Federation(n_clients=10_000_000, clients_per_round=1000, rounds=1_000_000)
    monkeypatch.setattr("os.sysconf", lambda name: 4096 if name == "SC_PAGE_SIZE" else 2_000_000)
    with pytest.raises(UsageError, match=r"take about 24\.6 GB; this machine has 8\.2 GB"):
        need_memory(federation)
    need_memory(federation.model_copy(update={"rounds": 100}))


def test_expand_refuses_a_seed_that_the_suites_table_leaves_out(registry, toy_suite):
    with pytest.raises(UsageError, match=r"Seed 7 is not one of this suite's \(1, 2\).*seeds\.leaderboard=\[7\]"):
        expand(toy_suite(), registry, seeds=[7])
    with pytest.raises(UsageError, match="Seed 1 is not one"):
        expand(toy_suite(), registry, seeds=[1], purpose="tune")
    assert {one.seed for one in expand(toy_suite("seeds.leaderboard=[7]"), registry, seeds=[7])} == {7}
