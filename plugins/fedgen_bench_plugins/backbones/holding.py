"""A loaded network as the table `loading` asks for it: how weights are stored, what is computed again for gradients."""

from __future__ import annotations

import importlib.util
import logging
from typing import Any

from fedgen_bench import DataError, recomputed, store_weights
from fedgen_bench_plugins.backbones.options import Loading


def hold(name: str, network: Any, loading: Loading) -> None:
    """Store the weights of a transformers or diffusers model, and have its blocks computed again, as `loading` says.

    Raises:
        DataError: it knows no gradient checkpointing.
    """
    if loading.quantization != "none":
        _keep_trainable(network)
    if loading.dtype != "fp32":
        store_weights(network, loading.torch_dtype)
    if not loading.gradient_checkpointing:
        return
    try:
        _checkpoint(network)
    except ValueError:
        raise DataError(
            f"Backbone `{name}`, a {type(network).__name__}, knows no gradient checkpointing. Leave "
            "`loading.gradient_checkpointing` out."
        ) from None


def _checkpoint(network: Any) -> None:
    if hasattr(network, "enable_gradient_checkpointing"):
        network.enable_gradient_checkpointing(recomputed)
        return
    enable = getattr(network, "activation_checkpointing_enable", None) or network.gradient_checkpointing_enable
    enable(recomputed.keywords)
    network.disable_input_require_grads()  # of no use to parts that are not re-entered, and a gradient of all below
    network.config.use_cache = False


def _keep_trainable(network: Any) -> None:
    """Have 4-bit layers pass gradients on a processor with AVX-512 as well.

    There bitsandbytes lays weights out anew when they are first evaluated, for a product without a gradient.
    """
    for layer in network.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def quantized(loading: Loading) -> dict[str, Any]:
    """What `from_pretrained` of transformers is told for the quantisation that is asked for; nothing where none is.

    Raises:
        DataError: the library that quantises is not installed.
    """
    if loading.quantization == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise DataError(
            f'loading.quantization = "{loading.quantization}" needs bitsandbytes, which is not installed. Install it '
            "with `pip install 'fedgen-bench[quantized]'`."
        )
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)  # a line for every product
    if loading.quantization == "8bit":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
    return {"quantization_config": config, "device_map": {"": "cpu"}}
