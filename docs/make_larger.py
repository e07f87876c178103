"""Write the tables of `docs/larger-models.md` from footprints of models without values: `python docs/make_larger.py`.

Models are made on torch's device `meta` with two layers and with three; what every layer adds gives the rest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from fedgen_bench_plugins.backbones.holding import hold
from fedgen_bench_plugins.backbones.options import Loading
from torch.nn.functional import cross_entropy

from fedgen_bench.base.digits import show_bytes
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.storage import train_in_fp32
from fedgen_bench.federation.footprint import Footprint, footprint
from fedgen_bench.federation.trainer import TrainingPlan
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.registry import Registry

TARGET = Path(__file__).with_name("larger-models.md")
N_TOKENS, BATCH = 1024, 4
_VOCABULARY = {"vocab_size": 128_256, "num_attention_heads": 32, "num_key_value_heads": 8}
MODELS: dict[str, tuple[int, dict[str, Any]]] = {
    "1B (the shape of Llama-3.2-1B)": (
        16, {**_VOCABULARY, "hidden_size": 2048, "intermediate_size": 8192, "tie_word_embeddings": True},
    ),
    "8B (the shape of Llama-3.1-8B)": (
        32, {**_VOCABULARY, "hidden_size": 4096, "intermediate_size": 14_336, "tie_word_embeddings": False},
    ),
}  # fmt: skip
ADAPTERS: dict[str, tuple[str, dict[str, Any]]] = {
    "`lora`, rank 8, queries and values": ("lora", {"targets": ("q_proj", "v_proj")}),
    "`lora`, rank 8, all linear layers": (
        "lora", {"targets": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")},
    ),
    "`ia3`": ("ia3", {"outputs": ("k_proj", "v_proj"), "inputs": ("down_proj",)}),
    "`prompt`, 16 tokens": ("prompt", {}),
    "`prefix`, 16 tokens": ("prefix", {}),
    "`layernorm`": ("layernorm", {}),
    "`last_layer`, one block": ("last_layer", {}),
    "`full`": ("full", {}),
}  # fmt: skip
WAYS = {
    "fp32": Loading(),
    "bf16": Loading(dtype="bf16"),
    "bf16, checkpointed": Loading(dtype="bf16", gradient_checkpointing=True),
}
_SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
_PLAN = TrainingPlan(optimizer="adamw", learning_rate=1e-3, batch_size=BATCH)


class _NextToken:
    """The loss of language modelling."""

    def loss(self, module: Any, batch: Any, _: torch.Generator) -> torch.Tensor:
        inputs, targets = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
        logits = module(input_ids=inputs).logits[:, -inputs.shape[1] :]
        return cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def _keys_and_values(module: Any, words: torch.Tensor) -> torch.Tensor:
    """Of the shape that the cache of these words has."""
    config = module.config
    width = config.hidden_size // config.num_attention_heads
    return torch.empty(2 * config.num_hidden_layers, config.num_key_value_heads, words.shape[1], width)


def _taken(_plain: Any, attach: Callable[[], Any], _words: torch.Tensor) -> Any:
    """An adapter before the text, without a look at what it does there."""
    with torch.no_grad():
        return attach()


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    """As processors and GPUs compute it, which keep no scores; on `meta` torch would take the way that does."""
    fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
    attended: torch.Tensor = fused(query, key, value)[0]
    return attended


def _without_values() -> ExitStack:
    """Adapters that look at values are taken as they are; autocast knows no such device."""
    stack = ExitStack()
    stack.enter_context(torch.device("meta"))
    for module in ("fedgen_bench_baselines.prompt_tuning", "fedgen_bench_plugins.adapters.prefix"):
        stack.enter_context(patch(f"{module}.stand_before_text", _taken))
    stack.enter_context(patch("fedgen_bench_plugins.adapters.prefix._keys_and_values", _keys_and_values))
    stack.enter_context(patch("fedgen_bench.federation.footprint.autocast", lambda *_: nullcontext()))
    stack.enter_context(patch("torch.nn.functional.scaled_dot_product_attention", _attention))
    stack.enter_context(patch("torch.is_autocast_enabled", lambda *_: False))
    stack.enter_context(patch("transformers.masking_utils.find_packed_sequence_indices", lambda *_: None))
    return stack


@dataclass(frozen=True)
class Needs:
    """Bytes of training an adapter: of a whole model, from those of two small ones."""

    few: Footprint
    more: Footprint
    n_layers: int

    def of(self, value: Callable[[Footprint], int]) -> int:
        """A figure that grows by the same with every layer."""
        few, more = value(self.few), value(self.more)
        return few + (self.n_layers - 2) * (more - few)


def _footprint(spec: Any, params: dict[str, Any], loading: Loading, shape: dict[str, Any], n_layers: int) -> Footprint:
    from transformers import LlamaConfig, LlamaForCausalLM

    with _without_values():
        config = LlamaConfig(**shape, num_hidden_layers=n_layers, max_position_embeddings=131_072, pad_token_id=0)
        module = LlamaForCausalLM(config).to(loading.torch_dtype).eval()
        hold("meta", module, loading)
        adapted = spec.build(spec.params(**params)).attach(module, _SEEDS)
        train_in_fp32(adapted.module, adapted.trainable.values())
        for parameter in adapted.trainable.values():
            parameter.requires_grad_()
        return footprint(
            adapted, _NextToken(), {"tokens": torch.zeros(1, N_TOKENS + 1, dtype=torch.long)}, _PLAN, BATCH
        )  # type: ignore[arg-type]


def row(registry: Registry, model: str, name: str) -> str:
    """What training an adapter on a model takes."""
    (n_layers, shape), (adapter, params) = MODELS[model], ADAPTERS[name]
    spec = registry.get("adapter", adapter).spec
    found = {
        way: Needs(*(_footprint(spec, params, loading, shape, n) for n in (2, 3)), n_layers)
        for way, loading in WAYS.items()
        if not (adapter == "prefix" and loading.gradient_checkpointing)
    }
    plain, again = found["fp32"], found.get("bf16, checkpointed")
    trained = plain.of(lambda one: one.trained_bytes)
    cells = [
        name,
        f"{trained // 4 / 1e6:,.2f} M",
        show_bytes(trained),
        show_bytes(3 * trained),
        show_bytes(plain.of(lambda one: one.example_bytes)),
        "refused" if again is None else show_bytes(again.of(lambda one: one.example_bytes)),
        *("refused" if way not in found else show_bytes(found[way].of(lambda one: one.on("cuda"))) for way in WAYS),
    ]
    return "| " + " | ".join(cells) + " |"


def _tables() -> Iterator[str]:
    registry = load_registry([], environ={})
    for model, (n_layers, shape) in MODELS.items():
        yield f"**{model}**\n"
        yield (
            "| adapter | trained | a message | gradients and AdamW | an example's activations | checkpointed | "
            + " | ".join(f"all, {way}" for way in WAYS)
            + " |"
        )
        yield "|---" * (6 + len(WAYS)) + "|"
        yield from (row(registry, model, name) for name in ADAPTERS)
        whole, low = (_weights(registry, WAYS[way], shape, n_layers) for way in ("fp32", "bf16"))
        yield f"\nWeights alone: {show_bytes(whole)} in fp32, {show_bytes(low)} in bf16.\n"


def _weights(registry: Registry, loading: Loading, shape: dict[str, Any], n_layers: int) -> int:
    """Bytes of the backbone."""
    spec = registry.get("adapter", "layernorm").spec
    return Needs(*(_footprint(spec, {}, loading, shape, n) for n in (2, 3)), n_layers).of(lambda one: one.module_bytes)


def text() -> str:
    """The page with its tables made anew."""
    page = TARGET.read_text(encoding="utf-8")
    tables = "\n".join(_tables())
    return re.sub(r"(<!-- tables: .*? -->\n).*?(<!-- /tables -->)", rf"\1\n{tables}\n\2", page, flags=re.DOTALL)


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
