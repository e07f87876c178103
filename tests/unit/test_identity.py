"""What enters the streams of a run and its identity: what bears on them, by content, and nothing else."""

from __future__ import annotations

import pytest

from fedgen_bench.schema import Point
from fedgen_bench.suites import expand, load_suite
from fedgen_bench.sweeps import at_point
from fedgen_bench.world import seed_tree

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
    assert changed.config["task"]["pairs_as"].keys() == {"valid_subset_lines"}
    assert not set(keys(changed).values()) & set(keys(first(registry, "quick")).values())


def test_a_sweeps_point_that_changes_evaluation_alone_moves_no_stream(registry):
    source = registry.get("suite", "quick").spec
    suite = load_suite(source, registry)
    changed = at_point(suite, Point(value=1.0, set={"task.params.valid_subset_lines": 7}))
    assert keys(expand(changed, registry)[0]) == keys(expand(suite, registry)[0])
