"""What enters the streams of a run and its identity: what bears on them, by content, and nothing else."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.results.store import Store
from fedgen_bench.run.executor import Job
from fedgen_bench.run.runner import run_cells
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite
from fedgen_bench.suite.schema import SweepPoint
from fedgen_bench.suite.sweeps import at_point
from fedgen_bench.testing import toy

ONLY_EVALUATION = {
    "quick": {
        "context_tokens": 64, "stride_tokens": 32, "valid_subset_lines": 7, "batch_windows": 3,
    },
    "ptb-rank": {"valid_subset_lines": 400, "batch_windows": 4},
    "quick-images": {
        "sampler_steps": 3, "guidance": 2.0, "n_samples": 9, "n_valid_samples": 9, "n_reference": 9, "n_scored": 9,
        "n_subset": 9, "noise_levels": 1, "optional_extractors": "[]", "batch_images": 7,
    },
}  # fmt: skip


def first(registry, name, *overrides):
    suite = load_suite(registry.get("suite", name).spec, registry, overrides)
    return expand(suite, registry, off_suite=overrides)[0]


def keys(spec):
    seeds = seed_tree(spec)
    return {stream: seeds.key(stream) for stream in ("split", "cohort", "batches", "adapter", "evaluation")}


@pytest.mark.parametrize("suite", ONLY_EVALUATION)
def test_parameters_that_bear_on_evaluation_alone_move_no_stream(registry, suite):
    plain = first(registry, suite)
    for name, value in ONLY_EVALUATION[suite].items():
        changed = first(registry, suite, f"task.params.{name}={value}")
        assert changed.digest != plain.digest, name
        assert keys(changed) == keys(plain), name
    both = first(registry, suite, *(f"task.params.{name}={value}" for name, value in ONLY_EVALUATION[suite].items()))
    assert keys(both) == keys(plain)


def test_parameters_that_bear_on_training_move_the_streams(registry):
    changed = first(registry, "quick", "task.params.block_tokens=32", "task.params.valid_subset_lines=7")
    assert changed.config.task.pairs_as.keys() == {"valid_subset_lines"}
    assert not set(keys(changed).values()) & set(keys(first(registry, "quick")).values())


def test_a_sweeps_point_that_changes_evaluation_alone_moves_no_stream(registry):
    source = registry.get("suite", "quick").spec
    suite = load_suite(source, registry)
    changed = at_point(suite, SweepPoint(value=1.0, set={"task.params.valid_subset_lines": 7}))
    assert keys(expand(changed, registry)[0]) == keys(expand(suite, registry)[0])


def test_a_run_with_other_content_is_another_run_however_the_path_is_spelled(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("m", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"weights")

    def resolved(where):
        return Loader(registry, finder(registry)).resolved(first(registry, "quick", f"task.params.backbone={where}"))

    spelled = [resolved(one) for one in ("m", "./m", tmp_path / "m", "~/m", "copy")]
    assert len({one.identity for one in spelled}) == 1
    assert all(keys(one) == keys(spelled[0]) for one in spelled)
    (tmp_path / "m" / "model.safetensors").write_bytes(b"other weights")
    changed = resolved("m")
    assert (changed.digest, changed.identity == spelled[0].identity) == (spelled[0].digest, False)
    assert keys(changed) != keys(spelled[0])


def test_a_shipped_backbone_stands_in_the_streams_by_its_name(registry):
    plain = first(registry, "quick")
    known = Loader(registry, finder(registry)).resolved(plain)
    assert set(known.content) == {"backbone tiny-wire-lm"}
    assert (known.digest, known.identity != plain.digest, keys(known)) == (plain.digest, True, keys(plain))


def test_a_cell_whose_data_changed_is_run_again_and_nothing_is_resumed(tmp_path):
    plugin = tmp_path / "plugin.py"
    plugin.write_text(
        "from fedgen_bench import TaskSpec, hookimpl\n"
        "from fedgen_bench.testing import toy\n"
        "from pathlib import Path\n"
        "class Factory(toy.Toy):\n"
        f"    def files(self, find): return {{'words': Path({str(tmp_path / 'words')!r})}}\n"
        "@hookimpl\n"
        "def register_tasks():\n"
        "    return [TaskSpec(name='words', summary='x', build=Factory, params=toy.Params)]\n"
    )
    registry = load_registry([toy.__file__, plugin], environ={})
    suite = load_suite(registry.get("suite", "toy").spec, registry, ["task.name=words"])
    specs = expand(suite, registry, contenders=["fedavg"], seeds=[1])

    def how(text, stop_after=None):
        (tmp_path / "words").write_text(text)
        kinds = []

        def note(event):
            kinds.append(event.kind)
            if kinds.count("round") == stop_after:
                raise KeyboardInterrupt

        with Store(tmp_path / "runs") as store:
            job = Job(tmp_path / "runs", Places(), "cpu", registry.plugin_files)
            with contextlib.suppress(KeyboardInterrupt):
                run_cells(specs, registry, job, store, workers=1, on_event=note)
        return kinds.count("round") or kinds

    assert how("one") == 4
    assert how("one") == ["skipped"]
    assert how("two", stop_after=2) == 2
    assert how("three") == 4  # nothing is resumed from what read other words
    assert how("two") == 2
    assert how("one") == ["skipped"]


def test_a_path_in_a_table_of_parameters_counts_by_content_and_the_rest_of_the_table_by_value(registry):
    def spec(source, content):
        changes = ('task.params.dataset="text_folder"', f"task.params.source={source}")
        return replace(first(registry, "quick", *changes), off_suite=(), content={"source.path": content})

    one, same = spec("{path='texts'}", "abc"), spec("{path='/elsewhere/texts'}", "abc")
    assert one.task.params["source"]["path"] == "abc"
    assert keys(same) == keys(one)
    assert same.identity == one.identity != same.digest
    other, cut = spec("{path='texts'}", "xyz"), spec("{path='texts', split_by='line'}", "abc")
    assert len({keys(each)["split"] for each in (one, other, cut)}) == 3
    assert len({each.identity for each in (one, other, cut)}) == 3
