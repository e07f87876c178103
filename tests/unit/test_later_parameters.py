"""Parameters that came after results were published: identities of what leaves them out stay as they were."""

from dataclasses import dataclass, field, replace

import pytest

from fedgen_bench.contract.specs import AdapterSpec, TaskSpec
from fedgen_bench.registry.spec_problems import spec_problem
from fedgen_bench.suite.cellconfig import ResolvedTask


@dataclass(frozen=True)
class Inner:
    dtype: str = "fp32"
    folders: tuple[str, ...] = ()


@dataclass(frozen=True)
class Params:
    size: int = 3
    names: tuple[str, ...] = ("a",)
    ranks: dict[str, int] = field(default_factory=lambda: {"a": 1})
    inner: Inner = Inner()
    lines: int | None = None


SPEC = TaskSpec(
    name="some", summary="", build=Params, params=Params, later=frozenset({"inner", "lines"}),
    evaluation_only=frozenset({"lines"}),
)  # fmt: skip
BEFORE = {"size": 3, "names": ["a"], "ranks": {"a": 1}}


def test_a_later_parameter_stands_in_a_configuration_only_where_it_differs():
    assert SPEC.filled({}) == BEFORE
    assert SPEC.filled({"lines": None, "inner": {"dtype": "fp32"}}) == BEFORE
    assert SPEC.filled({"size": 4, "ranks": {}, "lines": 5}) == {"size": 4, "names": ["a"], "ranks": {}, "lines": 5}


def test_a_table_of_parameters_is_filled_as_a_whole():
    assert SPEC.filled({"inner": {"dtype": "bf16"}})["inner"] == {"dtype": "bf16", "folders": []}
    assert replace(SPEC, later=frozenset()).filled({})["inner"] == {"dtype": "fp32", "folders": []}


def test_numbers_stay_as_they_were_written():
    assert repr(SPEC.filled({"size": 4.0})["size"]) == "4.0"


def test_a_later_parameter_of_evaluation_moves_no_stream():
    before = ResolvedTask(name="some", params=BEFORE, version="1", source_sha256="")
    changed = before.model_copy(update={"params": BEFORE | {"lines": 7}, "pairs_without": ("lines",)})
    assert changed.pairing == before.pairing
    assert before.model_copy(update={"params": BEFORE | {"lines": 7}}).pairing != before.pairing


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (replace(SPEC, later=frozenset({"sizes"})), "later names what is no parameter: sizes"),
        (replace(SPEC, evaluation_only=frozenset({"line"})), "evaluation_only names what is no parameter: line"),
    ],
)
def test_a_name_that_is_no_parameter_is_refused(spec, said):
    assert said in spec_problem("task", spec)


def test_components_of_every_kind_can_have_later_parameters():
    spec = AdapterSpec(name="some", summary="", build=Params, params=Params, later=frozenset({"size"}))
    assert spec_problem("adapter", spec) is None
    assert "size" not in spec.filled({})
