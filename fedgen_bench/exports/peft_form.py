"""An adapter in peft's form: LoRA factors at their own ranks, with folded updates; any other as peft has it."""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.contract.exporting import PeftAdapter
from fedgen_bench.federation.parameters import load_tensors

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.data import Tensors
    from fedgen_bench.contract.exporting import Exporter
    from fedgen_bench.contract.messages import Model

_PREFIX = "base_model.model."


def is_peft(module: nn.Module) -> bool:
    """Whether peft made a module, with one adapter on it."""
    from peft import PeftModel

    return isinstance(module, PeftModel) and set(module.peft_config) == {"default"}


def peft_adapter(adapted: Adapted, model: Model, exporter: Exporter) -> PeftAdapter:
    """The adapter with a model's values, in names of the exporter's part.

    Raises:
        UsageError: it trains what peft does not write, or what is outside the part.
    """
    module: Any = adapted.module
    config = copy.deepcopy(module.peft_config["default"])
    if adapted.low_rank:
        tensors = _factors(adapted, model, config, exporter.part)
    else:
        tensors = _as_peft_has_it(adapted, model, exporter.part)
        if exporter.part:
            _rename(adapted, config, exporter.part)
    config.base_model_name_or_path, config.revision, config.inference_mode = (
        exporter.base,
        exporter.revision or None,
        True,
    )
    return PeftAdapter(config=config, tensors=tensors)


def _factors(adapted: Adapted, model: Model, config: Any, part: str) -> Tensors:
    """Factors A and B by peft's names; `config` gets their ranks and scales, which differ by module where they must.

    Updates of the backbone are low-rank as well, so the sum of all is one update of the summed rank.
    """
    import torch

    tensors: dict[str, torch.Tensor] = {}
    shapes: dict[str, tuple[int, float]] = {}
    for pair in adapted.low_rank:
        merges = [merge for merge in model.merges if pair.a in merge]
        scale = 1.0 if merges else pair.scale
        own_b = model.tensors[pair.b] * pair.scale if merges else model.tensors[pair.b]
        a = torch.cat([model.tensors[pair.a], *(merge[pair.a] for merge in merges)])
        b = torch.cat([own_b, *(merge[pair.b] for merge in merges)], dim=1)
        name = _inner(pair.module, part)
        shapes[name] = len(a), scale * len(a)
        tensors[f"{_PREFIX}{name}.lora_A.weight"] = _written(a)
        tensors[f"{_PREFIX}{name}.lora_B.weight"] = _written(b)
    (config.r, config.lora_alpha), _ = Counter(shapes.values()).most_common(1)[0]
    exact = {f"^{re.escape(name)}": shape for name, shape in shapes.items()}
    config.rank_pattern = {name: rank for name, (rank, _) in exact.items() if rank != config.r}
    config.alpha_pattern = {name: alpha for name, (_, alpha) in exact.items() if alpha != config.lora_alpha}
    config.use_rslora = False  # its scale is in the alphas
    if part or not isinstance(config.target_modules, str):
        config.target_modules = sorted(shapes if part else config.target_modules)
    return tensors


def _as_peft_has_it(adapted: Adapted, model: Model, part: str) -> Tensors:
    from peft import get_peft_model_state_dict

    load_tensors(adapted.trainable, model.tensors)
    found = get_peft_model_state_dict(adapted.module, save_embedding_layers=False)
    tensors = {
        f"{_PREFIX}{_inner(name.removeprefix(_PREFIX), part)}" if name.startswith(_PREFIX) else name: _written(tensor)
        for name, tensor in found.items()
    }
    n_written, n_trained = (sum(one.numel() for one in some) for some in (tensors.values(), adapted.trainable.values()))
    if n_written != n_trained:
        raise UsageError(
            f"This adapter trains {n_trained:,} numbers, of which peft writes {n_written:,}. It cannot be exported; "
            "train only what peft's configuration names."
        )
    return tensors


def _rename(adapted: Adapted, config: Any, part: str) -> None:
    """Have a config name modules by their names in the part."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers: dict[str, Any] = {
        _inner(name.removeprefix(_PREFIX), part): layer
        for name, layer in adapted.module.named_modules()
        if isinstance(layer, BaseTunerLayer)
    }
    config.target_modules = sorted(layers)
    if hasattr(config, "feedforward_modules"):
        config.feedforward_modules = sorted(name for name, layer in layers.items() if layer.is_feedforward)


def _inner(name: str, part: str) -> str:
    if part and not name.startswith(f"{part}."):
        raise UsageError(f"This adapter trains `{name}`, which is outside of `{part}`. Nothing is exported of it.")
    return name.removeprefix(f"{part}.") if part else name


def _written(tensor: Any) -> Any:
    return tensor.detach().to("cpu", copy=True).contiguous()
