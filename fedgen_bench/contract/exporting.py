"""For authors of tasks: what was trained, as other libraries take it. Imports peft and safetensors only when used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from fedgen_bench.contract.data import Tensors


@dataclass(frozen=True, kw_only=True)
class PeftAdapter:
    """An adapter of a library's model, as peft keeps it on disk.

    Args:
        config: a `peft.PeftConfig`; module names in it are the model's own.
        tensors: by peft's names: `base_model.model.<module>.lora_A.weight`, `prompt_embeddings`.
    """

    config: Any
    tensors: Tensors

    def save(self, folder: Path) -> None:
        """Write `adapter_config.json` and `adapter_model.safetensors`, which `PeftModel.from_pretrained` reads."""
        from safetensors.torch import save_file

        self.config.save_pretrained(folder)
        save_file(dict(self.tensors), folder / "adapter_model.safetensors", metadata={"format": "pt"})


@dataclass(frozen=True, kw_only=True)
class HowToLoad:
    """How an exported folder is loaded.

    Args:
        library: what loads it, as model hubs call it: `peft`, `transformers`, `diffusers`.
        code: lines of Python in which `{folder}`, without quotes, stands for the folder.
    """

    library: str
    code: str

    def of(self, folder: str) -> str:
        """The code for a folder."""
        return self.code.replace("{folder}", json.dumps(folder))


class Exporter(Protocol):
    """Writes what was trained on a backbone for the library that the backbone is from."""

    @property
    def name(self) -> str:
        """What suites call the backbone."""

    @property
    def base(self) -> str:
        """What the library loads the backbone by: a hub name, or a folder of this machine."""

    @property
    def revision(self) -> str:
        """The commit of a hub name; empty for a folder."""

    @property
    def licence(self) -> str:
        """The backbone's, as model hubs name it; empty when it is not known, or has no such name."""

    @property
    def pipeline(self) -> str:
        """What model hubs call what the model is for: `text-generation`, `text-to-image`."""

    @property
    def part(self) -> str:
        """Dotted name, in the task's module, of the model as the library knows it; empty where the module is it."""

    def save_adapter(self, adapter: PeftAdapter, folder: Path) -> HowToLoad:
        """Write an adapter of `part`, with whatever loading it needs beside the backbone."""

    def save_model(self, module: nn.Module, folder: Path) -> HowToLoad:
        """Write the whole backbone; `module` is one as the task's `new_module` gives, with other values."""


@runtime_checkable
class Exporting(Protocol):
    """What a task has besides where what was trained on its backbone can be exported."""

    def exporter(self) -> Exporter:
        """Of the backbone that the task has loaded."""
