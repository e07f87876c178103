"""What was trained on our backbones, for transformers, peft and diffusers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import HowToLoad, PeftAdapter
from fedgen_bench_plugins.backbones.shipped import GENERATED, SHIPPED

if TYPE_CHECKING:
    from fedgen_bench_plugins.backbones.loading import Backbone
    from fedgen_bench_plugins.backbones.unet import UNetBackbone

_LORA_FILE = "pytorch_lora_weights.safetensors"  # what diffusers looks for in a folder


def _base(model: Any) -> str:
    """Where a library has read a model from: a folder, or the hub under a name."""
    where = str(model.config["_name_or_path"] if hasattr(model, "load_config") else model.config.name_or_path)
    return str(Path(where).resolve()) if Path(where).is_dir() else where


def _licence(name: str) -> str:
    return "apache-2.0" if name in (*SHIPPED, *GENERATED) else ""


@dataclass(frozen=True)
class LanguageModelExporter:
    """Adapters in peft's format, models in transformers', each with the tokenizer."""

    backbone: Backbone
    part: str = ""

    @property
    def name(self) -> str:
        return self.backbone.name

    @property
    def base(self) -> str:
        return _base(self.backbone.module)

    @property
    def revision(self) -> str:
        return getattr(self.backbone.module.config, "_commit_hash", None) or ""

    @property
    def licence(self) -> str:
        return _licence(self.backbone.name)

    def save_adapter(self, adapter: PeftAdapter, folder: Path) -> HowToLoad:
        adapter.save(folder)
        self.backbone.tokenizer.save_pretrained(folder)
        revision = f', revision="{self.revision}"' if self.revision else ""
        return HowToLoad(
            library="peft",
            code="from peft import PeftModel\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'base = AutoModelForCausalLM.from_pretrained({json.dumps(self.base)}{revision}, dtype="float32")\n'
            "model = PeftModel.from_pretrained(base, {folder})\n"
            "tokenizer = AutoTokenizer.from_pretrained({folder})",
        )

    def save_model(self, module: Any, folder: Path) -> HowToLoad:
        """A head that is not the embedding any more is written beside it, and the config says so."""
        head = module.get_output_embeddings()
        if head is not None and head.weight is not module.get_input_embeddings().weight:
            module.config.tie_word_embeddings = False
        module.save_pretrained(folder)
        self.backbone.tokenizer.save_pretrained(folder)
        return HowToLoad(
            library="transformers",
            code="from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            'model = AutoModelForCausalLM.from_pretrained({folder}, dtype="float32")\n'
            "tokenizer = AutoTokenizer.from_pretrained({folder})",
        )


@dataclass(frozen=True)
class UNetExporter:
    """LoRA in diffusers' format where its U-Net takes it, other adapters in peft's; models as `unet.py` reads them."""

    backbone: UNetBackbone
    part: str = "unet"

    @property
    def name(self) -> str:
        return self.backbone.name

    @property
    def base(self) -> str:
        return _base(self.backbone.module.unet)

    @property
    def revision(self) -> str:
        return self.backbone.module.unet.config.get("_commit_hash") or ""

    @property
    def licence(self) -> str:
        return _licence(self.backbone.name)

    def save_adapter(self, adapter: PeftAdapter, folder: Path) -> HowToLoad:
        base = self._load(json.dumps(self.base), "unet" if Path(self.base, "unet").is_dir() else "")
        if adapter.config.peft_type == "LORA" and hasattr(self.backbone.module.unet, "load_lora_adapter"):
            save_diffusers_lora(adapter, folder / _LORA_FILE)
            where = f'{{folder}}, prefix=None, weight_name="{_LORA_FILE}"'
            return HowToLoad(library="diffusers", code=f"{base}\nunet.load_lora_adapter({where})")
        adapter.save(folder)
        return HowToLoad(
            library="peft",
            code=f"from peft import PeftModel\n{base}\nunet = PeftModel.from_pretrained(unet, {{folder}})",
        )

    def save_model(self, module: Any, folder: Path) -> HowToLoad:
        from safetensors.torch import save_file

        from fedgen_bench_plugins.backbones.unet import CONTEXT, quiet_diffusers

        with quiet_diffusers():
            module.unet.save_pretrained(folder / "unet")
            self.backbone.scheduler.save_pretrained(folder / "scheduler")
        if module.context is not None:
            save_file({"context": module.context.detach().cpu().contiguous()}, folder / CONTEXT)
        return HowToLoad(library="diffusers", code=self._load("{folder}", "unet"))

    def _load(self, where: str, subfolder: str) -> str:
        kind = type(self.backbone.module.unet).__name__
        inner = f', subfolder="{subfolder}"' if subfolder else ""
        return f"from diffusers import {kind}\n\nunet = {kind}.from_pretrained({where}{inner})"


def save_diffusers_lora(adapter: PeftAdapter, path: Path) -> None:
    """LoRA as `unet.load_lora_adapter(..., prefix=None)` reads it: names of the U-Net's modules, ranks and scales.

    With a prefix of any other kind diffusers loads the file, says nothing and changes nothing.
    """
    from safetensors.torch import save_file

    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in adapter.config.to_dict().items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(plain, sort_keys=True)}
    tensors = {name.removeprefix("base_model.model."): tensor for name, tensor in adapter.tensors.items()}
    save_file(tensors, path, metadata=metadata)
