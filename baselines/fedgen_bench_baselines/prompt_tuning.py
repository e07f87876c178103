"""Prompt tuning: learned soft tokens in front of the input, the backbone frozen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedgen_bench import Adapted, AdapterSpec, SeedTree, hookimpl, is_language_model, wrap_with_peft

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Params:
    """n_tokens: length of the soft prompt. init: from rows of the embedding (`vocabulary`) or `random`."""

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
        """Initial values come from the `adapter` stream; `random` ones have the embedding's own spread.

        Raises ValueError when the backbone is no language model.
        """
        import torch
        from peft import PromptTuningConfig

        if not is_language_model(module):
            raise ValueError(
                "A soft prompt stands before text, and this backbone is no language model. Choose another adapter, "
                "for instance `textual_inversion`."
            )
        embedding = module.get_input_embeddings().weight  # type: ignore[operator]
        n_tokens, generator = self.params.n_tokens, seeds.torch("adapter", purpose="prompt")
        if self.params.init == "vocabulary":
            start = embedding[torch.randperm(len(embedding), generator=generator)[:n_tokens]].detach().clone()
        else:
            start = torch.randn(n_tokens, embedding.shape[1], generator=generator) * embedding.std().item()
        adapted = wrap_with_peft(module, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=n_tokens), seeds)
        (prompt,) = adapted.trainable.values()
        with torch.no_grad():
            prompt.copy_(start)
        return Adapted(adapted.module, {"prompt": prompt})


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    return [
        AdapterSpec(
            name="prompt",
            summary="Soft prompt tokens before the input (arXiv 2104.08691), through peft.",
            build=PromptTuning,
            params=Params,
            exceptions={
                "check_initial_function_unchanged": "a soft prompt changes what the backbone computes from the start"
            },
        )
    ]
