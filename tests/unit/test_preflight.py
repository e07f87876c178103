"""Everything that can be known without training is told before the first cell, all of it at once."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from fedgen_bench_plugins.datasets.known import PTB

from fedgen_bench.base.errors import DataError, NotReadyError, UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.registry.datasets import Places, download, finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.testing import toy

PLUGIN = '''
"""An adapter that fails to attach, one that fails on a batch, a strategy that cannot be built, and suites of them."""
from fedgen_bench import AdapterSpec, StrategySpec, SuiteSource, hookimpl
from fedgen_bench.contract.adapting import Adapted
from fedgen_bench.testing import toy


class Unattached:
    def __init__(self, params):
        pass

    def attach(self, module, seeds):
        raise ValueError("no module fits")


class Wrong(Unattached):
    def attach(self, module, seeds):
        import torch

        module.weight = torch.nn.Parameter(torch.zeros(5))
        return Adapted(module, dict(module.named_parameters()))


def refuse(params):
    raise LookupError("never")


TEXT = toy.SUITE.replace('name = "toy"\\nversion', 'name = "broken"\\nversion') + """
[[contender]]
name = "unattached"
strategy = { name = "fedavg" }
adapter = { name = "unattached" }
learning_rate = 0.1
[[contender]]
name = "wrong"
strategy = { name = "fedavg" }
adapter = { name = "wrong" }
learning_rate = 0.1
[[contender]]
name = "refused"
strategy = { name = "refused" }
adapter = { name = "full" }
learning_rate = 0.1
"""


@hookimpl
def register_adapters():
    return [
        AdapterSpec(name="unattached", summary="", build=Unattached),
        AdapterSpec(name="wrong", summary="", build=Wrong),
    ]


@hookimpl
def register_strategies():
    return [StrategySpec(name="refused", summary="", build=refuse)]


@hookimpl
def register_suites():
    return [SuiteSource(name="broken", text=TEXT, path="broken.toml")]
'''


CHOOSY = """
from fedgen_bench import StrategySpec, hookimpl
from fedgen_bench_baselines.fedavg import FedAvg


class Choosy(FedAvg):
    def init(self, start, ctx):
        raise ValueError(f"it wants another adapter than one of {len(start)} tensor for {ctx.n_clients} clients.")


class Failing(FedAvg):
    def init(self, start, ctx):
        raise LookupError("never")


@hookimpl
def register_strategies():
    return [StrategySpec(name=one.__name__.lower(), summary="", build=one) for one in (Choosy, Failing)]
"""


@pytest.fixture
def broken(tmp_path):
    file = tmp_path / "broken.py"
    file.write_text(PLUGIN, encoding="utf-8")
    return load_registry([toy.__file__, file], environ={})


def cells(registry, *overrides, suite="broken", **chosen):
    return expand(load_suite(registry.get("suite", suite).spec, registry, overrides), registry, **chosen)


def problems(registry, specs):
    with pytest.raises(NotReadyError) as caught:
        preflight(specs, Loader(registry, finder(registry, fetch=False)))
    return caught.value.problems


def test_every_problem_is_one_line_with_those_that_it_concerns(broken):
    found = problems(broken, cells(broken))
    refused, unattached, wrong = sorted(found)
    assert refused.startswith("`refused`: LookupError: never (broken.py:")
    assert unattached == "`unattached`: Adapter `unattached` does not fit this backbone: no module fits"
    assert wrong.startswith("`wrong`: a first example fails with adapter `wrong` on this backbone: RuntimeError: ")
    assert not any("\n" in one for one in found)


def test_an_adapter_that_a_strategy_refuses_is_told_and_its_other_mistakes_are_left_to_their_cells(tmp_path):
    file = tmp_path / "choosy.py"
    file.write_text(CHOOSY, encoding="utf-8")
    registry = load_registry([toy.__file__, file], environ={})
    chosen = cells(registry, suite="toy", contenders=["fedavg", "choosy", "failing"], added=["choosy", "failing"])
    (problem,) = problems(registry, chosen)
    assert problem == "`choosy`: it wants another adapter than one of 1 tensor for 6 clients."


def test_what_concerns_everybody_names_nobody(broken):
    chosen = cells(broken, "task.params.n_units=1", suite="toy", contenders=["fedavg", "local_only"])
    (problem,) = problems(broken, chosen)
    assert problem.startswith("Only 1 clients hold training data")


def test_what_fits_passes(broken):
    preflight(cells(broken, contenders=["fedavg", "fedgen_edge"]), Loader(broken, finder(broken, fetch=False)))


def test_training_that_does_not_fit_into_memory_is_refused_with_both_figures(broken, monkeypatch):
    chosen = cells(broken, suite="toy", contenders=["fedavg"])
    asked = []

    def little(device):
        asked.append(device)
        return 60

    monkeypatch.setattr("fedgen_bench.federation.preflight.memory_bytes", little)
    with pytest.raises(NotReadyError) as caught:
        preflight(chosen, Loader(broken, finder(broken, fetch=False)), "cuda:1")
    (problem,) = caught.value.problems
    assert "takes about " in problem
    assert problem.partition("memory, and ")[2].startswith("`cuda:1` has 60 B. Lower `training.batch_size`")
    assert asked == ["cuda:1"]


def test_a_batch_larger_than_what_anybody_holds_takes_no_more_than_that(broken, monkeypatch):
    alone, pooled = "fedavg", "centralized"
    chosen = cells(broken, "training.batch_size=1000000", suite="toy", contenders=[alone, pooled])
    limit = 400
    monkeypatch.setattr("fedgen_bench.federation.preflight.memory_bytes", lambda _: limit)
    (problem,) = problems(broken, chosen)
    assert problem.startswith(f"`{pooled}`: training adapter `full` takes about ")
    limit = 1 << 20  # a batch of what was asked for would take ten times as much
    preflight(chosen, Loader(broken, finder(broken, fetch=False)))


def test_no_cell_is_begun_and_finished_ones_are_not_looked_at(broken, tmp_path):
    job = Job(tmp_path / "runs", Places(), "cpu", broken.plugin_files)
    events = []
    with Store(job.root) as store:

        def run(specs):
            return run_cells(specs, broken, job, store, workers=1, on_event=events.append)

        with pytest.raises(NotReadyError):
            run(cells(broken, contenders=["fedavg", "wrong"], seeds=[1]))
        assert events == []
        assert store.runs("broken", 1) == []
        assert [one.status for one in run(cells(broken, contenders=["fedavg"], seeds=[1]))] == ["done"]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fedgen_bench.federation.preflight.preflight", None)
            assert run(cells(broken, contenders=["fedavg"], seeds=[1])) == []
        with pytest.raises(UsageError, match="no CUDA device"):
            run_cells(
                cells(broken, contenders=["fedavg"]), broken, Job(job.root, job.data, "cuda", job.plugin_files), store,
                workers=2, on_event=events.append,
            )  # fmt: skip


@pytest.mark.parametrize("flag", ["--dry-run", "--verbose"])
def test_the_command_tells_all_and_fails(broken, tmp_path, flag):
    words = ["run", "--suite", "broken", "--device", "cpu", "--runs", str(tmp_path / "runs"), flag]
    done = CliRunner().invoke(cli, [*words, *(word for file in broken.plugin_files for word in ("--plugin", file))])
    assert isinstance(done.exception, NotReadyError)
    assert len(done.exception.problems) == 3


def test_a_dry_run_without_data_says_how_to_fetch_them_and_downloads_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDGEN_DATA", raising=False)
    monkeypatch.setattr("fedgen_bench.registry.datasets.download", None)
    done = CliRunner().invoke(cli, ["run", "--suite", "ptb", "--dry-run", "--device", "cpu"])
    assert isinstance(done.exception, NotReadyError)
    assert "`fedgen-bench data fetch ptb`" in str(done.exception)
    assert not (tmp_path / "cache").exists()


class UnreachableError(OSError):
    """As `requests` raises it: long, and without a number."""


UnreachableError.__module__ = "requests.exceptions"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            UnreachableError("HTTPSConnectionPool(host='x'): Max retries exceeded " * 6),
            "it cannot be reached",
        ),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ConnectionResetError(), "the connection failed"),
        (ValueError("what came has sha256 1, not 2"), "what came has sha256 1, not 2"),
    ],
)
def test_a_failed_download_is_one_short_sentence(error, reason, monkeypatch, tmp_path):
    def fail(*_):
        raise error

    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path))
    monkeypatch.setattr("fedgen_bench.registry.datasets._retrieve", fail)
    with pytest.raises(DataError) as caught:
        download(PTB)
    first, _ = str(caught.value).split(". Provide ")
    assert first == f"`ptb` cannot be downloaded from {PTB.address}: {reason}"


def test_evidence_that_the_task_does_not_give_is_told_before_the_first_cell():
    registry = load_registry([toy.__file__])
    loader = Loader(registry, finder(registry, Places(), fetch=False))

    def told(*overrides):
        suite = load_suite(registry.get("suite", "toy").spec, registry, overrides)
        try:
            preflight(expand(suite, registry, contenders=["fedavg"]), loader)
        except NotReadyError as error:
            return error.problems
        return ()

    (problem,) = told('evaluation.other_metrics=["perplexity_per_word"]')
    assert "Metric `perplexity_per_word` reads `n_words`, `nll_nats`, which task `toy` does not give on" in problem
    assert told('evaluation.optional_metrics=["perplexity_per_word"]') == ()
    assert told() == ()


def test_images_are_generated_for_whole_parts_only_and_the_task_says_so(registry):
    suite = load_suite(registry.get("suite", "quick-images").spec, registry, ['evaluation.round_metric="fid_cifarnet"'])
    loader = Loader(registry, finder(registry, Places(), fetch=False))
    with pytest.raises(NotReadyError) as caught:
        preflight(expand(suite, registry, contenders=["frozen"], seeds=[1]), loader)
    (problem,) = caught.value.problems
    assert "`fid_cifarnet` reads `generated/cifarnet`, `reference/cifarnet`, which task `image_generation`" in problem
    assert "on `valid_subset`" in problem


def test_every_metric_that_ships_names_its_evidence(registry):
    assert [name for name, one in registry.components["metric"].items() if not one.spec.evidence] == []
