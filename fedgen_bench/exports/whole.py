"""The whole backbone with what was trained in it: its own parameters changed, or an adapter merged into them."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.errors import UsageError
from fedgen_bench.exports.peft_form import is_peft
from fedgen_bench.federation.parameters import load_tensors

if TYPE_CHECKING:
    from torch import nn

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.messages import Model


def is_of_backbone(adapted: Adapted, plain: nn.Module) -> bool:
    """Whether an adapter is made of the backbone's own parameters alone; `plain` is a backbone without one."""
    own = {id(parameter) for parameter in adapted.module.parameters()}
    return (
        type(adapted.module) is type(plain)
        and adapted.module.state_dict().keys() == plain.state_dict().keys()
        and all(id(parameter) in own for parameter in adapted.trainable.values())
    )


def whole(adapted: Adapted, model: Model) -> nn.Module:
    """The backbone with a model's values.

    Raises:
        UsageError: it is an adapter that stands beside the backbone's weights and cannot be merged into them.
    """
    adapted.fold(model.merges)
    load_tensors(adapted.trainable, model.tensors, adapted.low_rank)
    if not is_peft(adapted.module):
        return adapted.module
    module: Any = adapted.module
    if not hasattr(module.base_model, "merge_and_unload"):
        kind = str(module.peft_config["default"].peft_type.value).lower().replace("_", " ")
        raise UsageError(f"peft merges no {kind} into a backbone's weights. Leave out `--merge`.")
    _make_own(module)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        merged: nn.Module = module.merge_and_unload()
    return merged


def _make_own(module: nn.Module) -> None:
    """Give adapted layers a weight in fp32 that is nobody else's: a merged update changes them alone, unrounded.

    Raises:
        UsageError: a weight is quantised, and an update that is merged into it would be, too.
    """
    import torch
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    users = Counter(id(one) for _, one in module.named_parameters(remove_duplicate=False))
    for layer in module.modules():
        base: Any = layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else None
        weight = getattr(base, "weight", None)
        if weight is None:
            continue
        if not weight.is_floating_point():
            raise UsageError(
                "The backbone's weights are quantised, so nothing is merged into them. Leave out `--merge`."
            )
        unrounded = torch.promote_types(weight.dtype, torch.float32)
        if users[id(weight)] > 1 or weight.dtype is not unrounded:
            base.weight = nn.Parameter(weight.detach().to(unrounded, copy=True), requires_grad=False)
