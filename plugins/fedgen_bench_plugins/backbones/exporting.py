"""What was trained on our backbones, for transformers, peft and diffusers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import HowToLoad, PeftAdapter
from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading
from fedgen_bench_plugins.backbones.shipped import GENERATED

if TYPE_CHECKING:
    from fedgen_bench_plugins.backbones.loading import Backbone
    from fedgen_bench_plugins.backbones.unet import UNetBackbone

_APACHE = frozenset({*GENERATED, "smollm2-135m"})  # a shipped one has its data's terms (its README)
_LORA_FILE = "pytorch_lora_weights.safetensors"  # what diffusers looks for in a folder


def _base(model: Any) -> str:
    """Where a library has read a model from: a folder, or the hub under a name."""
    where = str(model.config["_name_or_path"] if hasattr(model, "load_config") else model.config.name_or_path)
    return str(Path(where).resolve()) if Path(where).is_dir() else where


def _call(kind: str, where: str, **options: str) -> str:
    """`kind.from_pretrained` of a place, which is Python as it stands; options that are empty are left out."""
    given = "".join(f", {name}={json.dumps(value)}" for name, value in options.items() if value)
    return f"{kind}.from_pretrained({where}{given})"


def _licence(name: str) -> str:
    return "apache-2.0" if name in _APACHE else ""


@dataclass(frozen=True)
class LanguageModelExporter:
    """Adapters in peft's format, models in transformers', each with the tokenizer."""

    backbone: Backbone
    loading: Loading = AS_IT_IS
    part: str = ""
    pipeline: str = "text-generation"

    @property
    def name(self) -> str:
        return self.backbone.name

    @property
    def base(self) -> str:
        return _base(self.backbone.module)

    @property
    def revision(self) -> str:
        return getattr(self.backbone.module.config, "_commit_hash", None) or self.loading.revision or ""

    @property
    def licence(self) -> str:
        return _licence(self.backbone.name)

    def save_adapter(self, adapter: PeftAdapter, folder: Path) -> HowToLoad:
        adapter.save(folder)
        self.backbone.tokenizer.save_pretrained(folder)
        return HowToLoad(
            library="peft",
            code=f"from peft import PeftModel\n{self._imports}\n\nbase = {self._loaded_base()}\n"
            "model = PeftModel.from_pretrained(base, {folder})\n"
            "tokenizer = AutoTokenizer.from_pretrained({folder})",
        )

    @property
    def _imports(self) -> str:
        quantized = "" if self.loading.quantization == "none" else ", BitsAndBytesConfig"
        return f"from transformers import AutoModelForCausalLM, AutoTokenizer{quantized}"

    def _loaded_base(self) -> str:
        """The backbone with the numbers that it was trained with: rounded as they were stored, computing in fp32."""
        kind, where = "AutoModelForCausalLM", json.dumps(self.base)
        inner = "" if Path(self.base).is_dir() else self.loading.subfolder or ""
        dtype = str(self.loading.torch_dtype).removeprefix("torch.")
        loaded = _call(kind, where, revision=self.revision, subfolder=inner, dtype=dtype)
        if self.loading.quantization != "none":
            config: Any = self.backbone.module.config
            how = {k: v for k, v in config.quantization_config.to_diff_dict().items() if not k.startswith("_")}
            return f"{loaded.removesuffix(')')}, quantization_config=BitsAndBytesConfig(**{how!r}))"
        return loaded if dtype == "float32" else f"{loaded}.float()"

    def save_model(self, module: Any, folder: Path) -> HowToLoad:
        """A head that is not the embedding any more is written beside it, and the config says so."""
        head = module.get_output_embeddings()
        if head is not None and head.weight is not module.get_input_embeddings().weight:
            module.config.tie_word_embeddings = False
        if self.loading.gradient_checkpointing:
            module.config.use_cache = True  # it is off for training alone
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
    loading: Loading = AS_IT_IS
    part: str = "unet"
    pipeline: str = "unconditional-image-generation"

    @property
    def name(self) -> str:
        return self.backbone.name

    @property
    def base(self) -> str:
        return _base(self.backbone.module.unet)

    @property
    def revision(self) -> str:
        return self.loading.revision or ""

    @property
    def licence(self) -> str:
        return _licence(self.backbone.name)

    def save_adapter(self, adapter: PeftAdapter, folder: Path) -> HowToLoad:
        base = self._load(json.dumps(self.base), self._inner(), revision=self.revision)
        if self.loading.dtype != "fp32":
            dtype = str(self.loading.torch_dtype)
            base = f"import torch\n{base.removesuffix(')')}, torch_dtype={dtype}).float()"
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

    def _inner(self) -> str:
        """The subfolder of the backbone's place that the U-Net is in; empty where it lies at the top."""
        from fedgen_bench_plugins.backbones.unet import place

        part = place(self.base, "unet", self.loading, local=Path(self.base).is_dir())
        return part.how["subfolder"] or ""

    def _load(self, where: str, subfolder: str, **options: str) -> str:
        kind = type(self.backbone.module.unet).__name__
        return f"from diffusers import {kind}\n\nunet = {_call(kind, where, subfolder=subfolder, **options)}"


def save_diffusers_lora(adapter: PeftAdapter, path: Path) -> None:
    """LoRA as `unet.load_lora_adapter(..., prefix=None)` reads it: names of the U-Net's modules, ranks and scales.

    With a prefix of any other kind diffusers loads the file, says nothing and changes nothing.
    """
    from safetensors.torch import save_file

    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in adapter.config.to_dict().items()}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(plain, sort_keys=True)}
    tensors = {name.removeprefix("base_model.model."): tensor for name, tensor in adapter.tensors.items()}
    save_file(tensors, path, metadata=metadata)
