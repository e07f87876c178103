"""The JSON Schema of a suite: every suite is valid under it, mistakes are not, and all of it is described."""

from __future__ import annotations

import copy
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from fedgen_bench.base.docstrings import arguments_of
from fedgen_bench.cli.main import cli
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.suite.json_schema import suite_json_schema
from fedgen_bench.suite.new_suite import new_suite
from fedgen_bench.suite.schema import SuiteSpec
from fedgen_bench.suite.structure import models_in
from fedgen_bench.testing import toy

PUBLISHED = Path(__file__).parents[2] / "docs" / "suite.schema.json"
SUITES = {name: one.spec for name, one in load_registry(environ={}).components["suite"].items()}


@pytest.fixture(scope="module")
def published():
    schema = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


@pytest.mark.parametrize("name", sorted(SUITES))
def test_suite_is_valid_under_the_published_schema(published, name):
    assert [one.message for one in published.iter_errors(tomllib.loads(SUITES[name].toml))] == []


def test_new_suite_is_valid_under_the_published_schema(published, registry):
    published.validate(tomllib.loads(new_suite("mine", registry)))


def changed(table, path, value):
    """A copy with one value set, or taken out where it is None."""
    whole = inner = copy.deepcopy(table)
    *parents, last = path
    for part in parents:
        inner = inner[part]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("federation", "rounds"), 0),
        (("federation", "rounds"), "3"),
        (("federation", "n_client"), 3),
        (("suite", "name"), "My suite"),
        (("task", "name"), "language_modelling"),
        (("task", "params", "block_token"), 64),
        (("task", "params", "block_tokens"), "64"),
        (("task", "params", "dataset"), "ptbb"),
        (("contender", 0, "strategy", "name"), "fedvag"),
        (("contender", 0, "strategy"), {"name": "fedprox", "params": {"nu": 1.0}}),
        (("contender", 0, "uplink"), [{"name": "topk", "params": {"fraction": "all"}}]),
        (("contender", 0, "learning_rate"), None),
        (("contender", 0), {"name": "x"}),
        (("evaluation", "metric"), "perplexity"),
        (("evaluation", "other_metrics"), ["perplexity"]),
        (("training", "precision"), "fp16"),
        (("attack",), {"name": "sign_flip"}),
        (("sweep",), {"of": "ptb"}),
        (("seeds",), None),
        (("plots",), {}),
    ],
)
def test_mistake_is_none_of_the_schema(published, path, value):
    table = tomllib.loads(SUITES["ptb"].toml)
    assert published.is_valid(table)
    assert not published.is_valid(changed(table, path, value))


def test_mistake_in_a_parameter_is_told_where_it_stands(published):
    table = tomllib.loads(SUITES["ptb"].toml)
    (told,) = published.iter_errors(changed(table, ("contender", 0, "adapter", "params", "rnak"), 2))
    assert list(told.path) == ["contender", 0, "adapter", "params"]
    assert "'rnak' was unexpected" in told.message


def test_a_table_among_parameters_refuses_unknown_keys_with_any_pydantic():
    validator = jsonschema.Draft7Validator(suite_json_schema(load_registry(environ={})))
    table = tomllib.loads(SUITES["ptb"].toml)
    assert validator.is_valid(changed(table, ("task", "params", "loading"), {}))
    assert not validator.is_valid(changed(table, ("task", "params", "loading"), {"dtyp": "fp32"}))


def test_own_plugins_are_in_the_schema_that_the_command_prints():
    done = CliRunner().invoke(cli, ["schema", "--plugin", toy.__file__])
    validator = jsonschema.Draft7Validator(json.loads(done.stdout))
    table = tomllib.loads(toy.SUITE)
    assert validator.is_valid(table)
    assert not validator.is_valid(changed(table, ("task", "params"), {"n_units": "many"}))


def tables(model):
    yield model
    for one in model.model_fields.values():
        for inner in models_in(one.annotation):
            yield from tables(inner)


@pytest.mark.parametrize(
    "model", {one.__name__: one for one in tables(SuiteSpec)}.values(), ids=lambda one: one.__name__
)
def test_every_key_of_a_suite_says_what_it_is(model):
    assert arguments_of(model).keys() >= model.model_fields.keys()


def test_every_parameter_that_ships_says_what_it_is():
    undescribed = []

    def look(one, path):
        if "properties" in one:
            known = one["properties"]
            undescribed.extend((*path, name) for name in known if "description" not in known[name])
            for name in known:
                look(known[name], (*path, name))

    schema = suite_json_schema(load_registry(environ={}))
    for name, one in {"": schema, **schema["definitions"]}.items():
        look(one, (name,))
    assert undescribed == []
