"""An export's folder: the adapter or the whole model, and its card; it is there as a whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fedgen_bench.base.errors import UsageError
from fedgen_bench.base.files import disk_error
from fedgen_bench.base.guards import guarded
from fedgen_bench.contract.exporting import Exporting
from fedgen_bench.exports.peft_form import is_peft, peft_adapter
from fedgen_bench.exports.whole import is_of_backbone, whole

if TYPE_CHECKING:
    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.exporting import Exporter, HowToLoad, PeftAdapter
    from fedgen_bench.contract.messages import Model
    from fedgen_bench.contract.protocols import Task


def check_out(out: Path) -> None:
    """Raises UsageError where no new folder can be written."""
    if out.is_dir() and not any(out.iterdir()):
        return
    if out.exists() or out.is_symlink():
        raise UsageError(f"{out} is {'not empty' if out.is_dir() else 'no folder'}. Name a new folder with `--out`.")


def exporter_of(task: Task, name: str) -> Exporter:
    """The task's. Raises UsageError when it has none."""
    if not isinstance(task, Exporting):
        raise UsageError(f"Task `{name}` does not say how its backbone is exported. Give it a method `exporter`.")
    with guarded(f"{type(task).__name__}.exporter"):
        return task.exporter()


def write_model(
    adapted: Adapted, model: Model, task: Task, exporter: Exporter, adapter: str, folder: Path, *, merge: bool
) -> tuple[str, HowToLoad]:
    """Write what was trained, whichever way others load it; what was written, and how it is loaded.

    Raises:
        UsageError: the adapter is neither of peft nor made of the backbone's own parameters, or cannot be merged.
    """
    if is_peft(adapted.module) and not merge:
        found = peft_adapter(adapted, model, exporter)
        with guarded(f"{type(exporter).__name__}.save_adapter"):
            return _described(found, len(model.merges)), exporter.save_adapter(found, folder)
    if not is_peft(adapted.module) and not is_of_backbone(adapted, task.new_module()):
        raise UsageError(
            f"Adapter `{adapter}` is neither of peft nor made of the backbone's own parameters, so nothing else would "
            "load it. Attach it with `wrap_with_peft` to have it exported."
        )
    form = "model with the adapter merged into it" if is_peft(adapted.module) else "model"
    module = whole(adapted, model)
    with guarded(f"{type(exporter).__name__}.save_model"):
        return form, exporter.save_model(module, folder)


def _described(adapter: PeftAdapter, n_merges: int) -> str:
    """What an adapter is, with its ranks where it has some."""
    ranks = {len(one) for name, one in adapter.tensors.items() if name.endswith("lora_A.weight")}
    said = f" of rank {min(ranks)}" if len(ranks) == 1 else f" of ranks {min(ranks)} to {max(ranks)}" if ranks else ""
    return f"adapter{said}" + (f", {n_merges} updates of the backbone among them" if n_merges else "")


def written_whole(out: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a folder beside `out`, which then takes its place. Raises StoreError when the disk refuses."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
            made = Path(work, "made")
            made.mkdir()
            write(made)
            if out.is_dir():
                out.rmdir()
            shutil.move(made, out)
    except OSError as error:
        raise disk_error(error, out) from error
