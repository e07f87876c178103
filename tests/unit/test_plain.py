"""Methods that strategies take instead of writing them."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import SimpleNamespace

import fedgen_bench_baselines
import fedgen_bench_plugins
import pytest

from fedgen_bench import FitReport, Payload, Update, export_tensors, send_tensors, train_received
from fedgen_bench.contract import plain

TENSORS = {"w": object()}
FILES = [
    file for package in (fedgen_bench_baselines, fedgen_bench_plugins) for file in Path(*package.__path__).rglob("*.py")
]
BODIES = {ast.dump(ast.Module(one.body[1:], [])) for one in ast.parse(inspect.getsource(plain)).body[-3:]}


class Method:
    send = send_tensors
    client = train_received
    export = export_tensors


def test_methods_taken_by_name_send_train_and_export_the_tensors():
    state, method = SimpleNamespace(tensors=TENSORS), Method()
    assert method.send(state, None) == Payload(TENSORS)
    assert method.export(state, None) is TENSORS
    half = method.client(Payload(TENSORS), None)
    assert next(half).start is TENSORS
    with pytest.raises(StopIteration) as end:
        half.send(FitReport({"w": 1}, n_examples=3, n_steps=2, mean_loss=0.5, batch_digest=""))
    assert end.value.value == Update({"w": 1}, 3)


def test_no_strategy_writes_out_what_it_could_take():
    assert len(BODIES) == 3
    written = [
        f"{file.name}:{one.lineno}"
        for file in FILES
        for one in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(one, ast.FunctionDef) and ast.dump(ast.Module(one.body, [])) in BODIES
    ]
    assert written == []
