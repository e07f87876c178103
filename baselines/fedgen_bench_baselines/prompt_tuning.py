"""Prompt tuning: learned soft tokens in front of the input, the backbone frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedgen_bench import (
    Adapted,
    AdapterSpec,
    SeedTree,
    check_room,
    hookimpl,
    is_language_model,
    stand_before_text,
    wrap_with_peft,
)

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(frozen=True)
class Params:
    """n_tokens: length of the soft prompt. init: as words of the vocabulary are embedded, or `random`."""

    n_tokens: int = 16
    init: Literal["vocabulary", "random"] = "vocabulary"

    def __post_init__(self) -> None:
        if self.n_tokens < 1:
            raise ValueError("A soft prompt needs at least one token.")


class PromptTuning:
    """Prompt tuning (arXiv 2104.08691; federated: FedPrompt, 2208.12268): only P of shape (n_tokens, width) is trained.

    The prompt stands before position 0 and takes `n_tokens` of the backbone's positions; its positions carry no loss.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values come from the `adapter` stream; `random` ones have the spread of embedded tokens.

        Raises ValueError when the backbone is no language model, leaves no position for text, or takes no prompt.
        """
        import torch

        if not is_language_model(module):
            raise ValueError(
                "A soft prompt stands before text, and this backbone is no language model. Choose another adapter, "
                "for instance `textual_inversion`."
            )
        n_tokens, generator = self.params.n_tokens, seeds.torch("adapter", purpose="prompt")
        check_room(module, n_tokens)
        embed = module.get_input_embeddings()  # type: ignore[operator]
        vocabulary = len(embed.weight)
        with torch.no_grad():
            if self.params.init == "vocabulary":
                words = torch.randperm(vocabulary, generator=generator)[:n_tokens]
            else:
                words = torch.arange(n_tokens) % vocabulary
            if len(words) < n_tokens:
                raise ValueError(f"n_tokens is {n_tokens}, the vocabulary has {vocabulary} tokens. Lower n_tokens.")
            adapted = stand_before_text(module, lambda: _wrapped(module, embed(words), seeds), words[None])
            (prompt,) = adapted.trainable.values()
            if self.params.init == "random":
                spread = embed(torch.arange(vocabulary)).std().item()
                prompt.copy_(torch.randn(prompt.shape, generator=generator) * spread)
        return Adapted(adapted.module, {"prompt": prompt}, positions=n_tokens)


def _wrapped(module: nn.Module, rows: torch.Tensor, seeds: SeedTree) -> Adapted:
    """The backbone after a soft prompt of `rows` (n, width)."""
    from peft import PromptTuningConfig

    heads_and_layers = {"num_attention_heads": 1, "num_layers": 1}  # peft asks, and a soft prompt has neither
    config = PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=len(rows), token_dim=rows.shape[1], **heads_and_layers
    )
    adapted = wrap_with_peft(module, config, seeds)
    (prompt,) = adapted.trainable.values()
    prompt.copy_(rows)
    return adapted


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    return [
        AdapterSpec(
            name="prompt",
            summary="Soft prompt tokens before the input (arXiv 2104.08691), through peft.",
            build=PromptTuning,
            params=Params,
            libraries=("peft",),
            exceptions={
                "check_initial_function_unchanged": "a soft prompt changes what the backbone computes from the start"
            },
        )
    ]
