"""A cell's configuration is read and written without a loss: digests of what is published are hashes of it."""

import copy
import dataclasses
import json
from pathlib import Path

import pytest

from fedgen_bench.base.errors import StoreError
from fedgen_bench.results.rows import RunRow
from fedgen_bench.suite.cellconfig import CellConfig, provenance_key
from fedgen_bench.suite.cells import CellSpec, expand

RECORDS = [
    record
    for path in sorted((Path(__file__).parents[2] / "leaderboards").glob("*/results.json"))
    for record in json.loads(path.read_text())["records"]
]
SHA256 = "0" * 64


def component(name, **more):
    return {"name": name, "params": {"deep": [1, {"x": None}]}, "version": "1", "source_sha256": SHA256, **more}


@pytest.fixture
def table():
    """A configuration as the first published ones were, without any of the keys that came later."""
    config = copy.deepcopy(RECORDS[0]["config"])
    for key in ("point", "attack"):
        config.pop(key, None)
    config["evaluation"] |= {"metric": "quality", "other_metrics": ["quality", "other"]}
    for key in ("round_metric", "optional_metrics"):
        config["evaluation"].pop(key, None)
    return config


def test_every_published_configuration_comes_back_as_it_was():
    assert len(RECORDS) > 200
    for record in RECORDS:
        config = CellConfig.from_json(record["config"])
        assert json.dumps(config.to_json(), sort_keys=True) == json.dumps(record["config"], sort_keys=True)
        spec = CellSpec(config, tuple(record["off_suite"]))
        assert (spec.contender, spec.seed, spec.digest) == (record["contender"], record["seed"], record["digest"])


def test_keys_that_came_later_are_written_only_where_they_are_given(table):
    bare = CellConfig.from_json(table)
    assert (bare.point, bare.attack, bare.training.ema_decay, bare.contender.uplink) == (None, None, None, ())
    assert bare.to_json() == table
    given = copy.deepcopy(table)
    given |= {"attack": component("noise", fraction=0.1), "point": {"contender": "x", "axis": "a", "value": 2.0}}
    given["training"]["ema_decay"] = 0.9
    given["task"]["pairs_as"] = {"deep": []}
    given["evaluation"] |= {"round_metric": "other", "optional_metrics": ["third"]}
    given["contender"] |= {"uplink": [component("fp16")], "downlink": [component("topk"), component("fp16")]}
    assert CellConfig.from_json(given).to_json() == given


def test_parameters_are_kept_under_any_name_and_not_shared(table):
    table["partitioner"]["params"] = {"uplink": [], "round_metric": None, "n": 1, "x": 1.0}
    written = CellConfig.from_json(table).to_json()
    assert json.dumps(written, sort_keys=True) == json.dumps(table, sort_keys=True)
    config = CellConfig.from_json(table)
    config.to_json()["partitioner"]["params"]["n"] = 2
    assert config.partitioner.params["n"] == 1


@pytest.mark.parametrize(
    ("path", "value", "what"),
    [
        (
            ("evaluation", "round_metric"),
            None,
            r"`evaluation\.round_metric` of a configuration is not as runs write it",
        ),
        (("contender", "uplink"), [], r"`contender\.uplink` of a configuration is not as runs write it"),
        (("training", "weight_decay"), 0, r"`training\.weight_decay` of a configuration is not as runs write it"),
        (("training", "threads"), "2", r"`training\.threads` of a configuration: .* integer"),
        (("later",), 1, r"`later` of a configuration"),
    ],
)
def test_what_no_run_writes_is_refused(table, path, value, what):
    *parents, last = path
    node = table
    for part in parents:
        node = node[part]
    node[last] = value
    with pytest.raises(ValueError, match=what):
        CellConfig.from_json(table)


@pytest.mark.parametrize("key", ["suite", "task", "federation", "seed"])
def test_a_missing_key_is_named(table, key):
    del table[key]
    with pytest.raises(ValueError, match=f"`{key}` of a configuration: Field required"):
        CellConfig.from_json(table)


def test_components_are_all_that_plugins_bring(table):
    table["attack"] = component("noise", fraction=0.1)
    table["contender"] |= {"uplink": [component("topk"), component("fp16")], "downlink": [component("int8")]}
    found = [(kind, one.name) for kind, one in CellConfig.from_json(table).components()]
    own = [("task", table["task"]["name"]), ("partitioner", table["partitioner"]["name"])]
    own += [(kind, table["contender"][kind]["name"]) for kind in ("strategy", "adapter")]
    assert found == [
        *own, ("compressor", "topk"), ("compressor", "fp16"), ("compressor", "int8"), ("attack", "noise"),
    ]  # fmt: skip
    assert [provenance_key(*one) for one in found[-2:]] == ["compressor int8", "attack"]


def test_followed_metric_is_the_one_that_ranks_unless_another_is_named(table):
    plain = CellConfig.from_json(table).evaluation
    assert (plain.followed, plain.metrics, plain.round_metrics) == ("quality", ("quality", "other"), plain.metrics)
    table["evaluation"] |= {"round_metric": "third", "optional_metrics": ["fourth"]}
    other = CellConfig.from_json(table).evaluation
    assert (other.followed, other.round_metrics) == ("third", ("third",))
    assert other.metrics == ("quality", "third", "other", "fourth")


def test_method_is_the_contender_without_its_point(table):
    name = table["contender"]["name"]
    assert CellConfig.from_json(table).method == name
    table["contender"]["name"] = f"{name}@rank=2"
    table["point"] = {"contender": name, "axis": "rank", "value": 2.0}
    assert CellConfig.from_json(table).method == name


def test_a_row_of_a_version_that_knew_more_is_refused_by_name(registry, toy_suite):
    (spec,) = expand(toy_suite(), registry, contenders=["fedavg"], seeds=[1])
    row = RunRow.of(spec, {}, {}, 0)
    assert row.spec == spec
    newer = dataclasses.replace(row, config=json.dumps(json.loads(row.config) | {"later": 1}))
    with pytest.raises(StoreError, match="toy/fedavg/1 cannot be read: `later` of a configuration"):
        assert newer.spec
