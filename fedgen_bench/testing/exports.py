"""What a task's exporter must hold: what it writes is loaded as it says, and is what was written."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.adapting import equal_merges
from fedgen_bench.contract.exporting import Exporting, HowToLoad
from fedgen_bench.testing.structure import described

if TYPE_CHECKING:
    from fedgen_bench.contract.protocols import Task


def check_export(task: Task) -> None:
    """Where the task exports its backbone, the code that comes with a written one loads the same parameters."""
    import torch

    if not isinstance(task, Exporting):
        return
    with guarded("exporter"):
        exporter = task.exporter()
    for name in ("name", "base", "revision", "licence", "part"):
        assert isinstance(getattr(exporter, name, None), str), f"`{name}` of the exporter is no text"
    module = task.new_module()
    assert not exporter.part or exporter.part in dict(module.named_modules()), f"there is no part `{exporter.part}`"
    wanted = dict(module.get_submodule(exporter.part).named_parameters())
    with tempfile.TemporaryDirectory() as folder:
        with guarded("save_model"):
            loading = exporter.save_model(module, Path(folder))
        assert isinstance(loading, HowToLoad), f"save_model returned {described(loading)}. Return a `HowToLoad`."
        known: dict[str, Any] = {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(loading.of(folder), known)  # noqa: S102 - a check runs the code that it checks
        models = [one for one in known.values() if isinstance(one, torch.nn.Module)]
        found = (dict(one.named_parameters()) for one in models)
    assert any(equal_merges(wanted, one) for one in found), "another model is loaded"
