"""Prefix tuning through peft: learned keys and values in front of every layer's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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

_CACHED = 4  # dimensions of cached keys


@dataclass(frozen=True)
class Params:
    """n_tokens: length of the prefix."""

    n_tokens: int = 16

    def __post_init__(self) -> None:
        if self.n_tokens < 1:
            raise ValueError(f"n_tokens must be at least 1, got {self.n_tokens}.")


class PrefixTuning:
    """Prefix tuning (arXiv 2101.00190): every attention layer also sees `n_tokens` learned keys and values.

    Trained is one tensor `prefix` of shape (n_tokens, 2 x layers x width of the keys): for each layer its keys, then
    its values. It starts as what the backbone computes of tokens drawn from the vocabulary (the paper's real words), so
    that the adapted backbone begins as the backbone with these tokens before the text. The text's positions begin at
    `n_tokens`.
    """

    def __init__(self, params: Params) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """The tokens come from the `adapter` stream.

        Raises ValueError when the backbone is no language model, does not take one, or has no position left for text.
        """
        import torch
        from peft import PrefixTuningConfig

        if not is_language_model(module):
            raise ValueError(
                "A prefix stands before text, and this backbone is no language model. Choose another adapter."
            )
        n_tokens = self.params.n_tokens
        check_room(module, n_tokens)
        vocabulary = len(module.get_input_embeddings().weight)  # type: ignore[operator]
        words = torch.randint(vocabulary, (1, n_tokens), generator=seeds.torch("adapter", purpose="prefix"))
        pairs = _keys_and_values(module, words)
        n_pairs, n_heads, _, width = pairs.shape
        config = PrefixTuningConfig(
            task_type="CAUSAL_LM",
            num_virtual_tokens=n_tokens,
            num_layers=n_pairs // 2,
            num_attention_heads=n_heads,
            token_dim=n_heads * width,
        )

        def attached() -> Adapted:
            adapted = wrap_with_peft(module, config, seeds)
            (prefix,) = adapted.trainable.values()
            prefix.copy_(pairs.permute(2, 0, 1, 3).flatten(1))  # as peft lays it out
            return Adapted(adapted.module, {"prefix": prefix}, positions=n_tokens)

        return stand_before_text(module, attached, words)


def _keys_and_values(module: nn.Module, words: torch.Tensor) -> torch.Tensor:
    """What each layer caches of `words` (1, n), its keys, then its values: (2 layers, heads, n, width / heads)."""
    import torch

    with torch.no_grad():
        cache = getattr(module.eval()(input_ids=words, use_cache=True), "past_key_values", None)
    parts = [part for layer in getattr(cache, "layers", ()) for part in (_part(layer, "keys"), _part(layer, "values"))]
    if not parts or any(part is None or part.shape != parts[0].shape for part in parts):
        raise ValueError(
            f"A {type(module).__name__} does not keep keys and values of one shape in every layer, which a prefix "
            "would stand beside. Choose another adapter."
        )
    return torch.cat(parts)


def _part(layer: Any, name: str) -> Any:
    """A layer's cached keys or values (1, heads, n, width / heads), or None."""
    part = getattr(layer, name, None)
    return part if part is not None and part.ndim == _CACHED else None


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    return [
        AdapterSpec(
            name="prefix",
            summary="Learned keys and values before every layer's own (arXiv 2101.00190), through peft.",
            build=PrefixTuning,
            params=Params,
            libraries=("peft",),
            exceptions={
                "check_initial_function_unchanged": "a prefix changes what the backbone computes from the start"
            },
        )
    ]
