"""For authors of adapters that stand before a text: whether there is room, and whether the backbone takes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fedgen_bench.contract.adapting import Adapted

_N_TEXT = 4
_TOLERANCE = 1e-3  # of the largest logit: the two ways round differently


def positions_of(module: nn.Module) -> int | None:
    """The most tokens that a language model takes at a time; None where it sets no limit."""
    config = getattr(module, "config", None)
    named = (getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len"))
    return next((positions for positions in named if isinstance(positions, int) and positions > 0), None)


def check_room(module: nn.Module, n_tokens: int) -> None:
    """Raises ValueError when `n_tokens` before the text leave no position for text."""
    positions = positions_of(module)
    if positions is not None and n_tokens >= positions:
        raise ValueError(f"n_tokens is {n_tokens}, this backbone has {positions} positions. Lower n_tokens.")


def stand_before_text(plain: nn.Module, attach: Callable[[], Adapted], words: torch.Tensor) -> Adapted:
    """What `attach` gives, after a look whether it does before a text what the same words do.

    Args:
        plain: the backbone, in evaluation mode.
        attach: puts the adapter on it, with the values of `words`.
        words: tokens before the text, shape (1, n).

    Raises:
        ValueError: the backbone does not take the adapter, or computes something else of a short text after it.
    """
    import torch

    rows = len(plain.get_input_embeddings().weight)  # type: ignore[operator]
    room = (positions_of(plain) or words.shape[1] + _N_TEXT) - words.shape[1]
    text = (torch.arange(min(_N_TEXT, room)) * 7 % rows)[None]
    kind = type(plain).__name__
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        expected = plain(input_ids=torch.cat([words, text], dim=1)).logits[:, words.shape[1] :]
        try:
            adapted = attach()
            logits = adapted.module(input_ids=text).logits[:, -text.shape[1] :]
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise ValueError(f"A {kind} takes none before its text ({reason}). Choose another adapter.") from error
    off = float((logits - expected).abs().max())
    if not off <= _TOLERANCE * float(expected.abs().max()):
        raise ValueError(
            f"Before the text of a {kind} it is not what the same words are: logits differ by up to {off:.2g}. Choose "
            "another adapter."
        )
    _send_places_along(adapted.module)
    return adapted


def _send_places_along(module: Any) -> None:
    """Numbers of peft's virtual tokens become buffers: it would send them to the device with every batch."""
    places: dict[str, torch.Tensor] = getattr(module, "prompt_tokens", {})
    if places:
        for name, tokens in places.items():
            module.register_buffer(_buffer_of(name), tokens, persistent=False)
        module.prompt_tokens = _Buffers(module, places)


class _Buffers(Mapping[str, "torch.Tensor"]):
    """The numbers, wherever the module is now."""

    def __init__(self, module: nn.Module, adapters: Iterable[str]) -> None:
        self._module, self._adapters = module, tuple(adapters)

    def __getitem__(self, adapter: str) -> torch.Tensor:
        return self._module.get_buffer(_buffer_of(adapter))

    def __iter__(self) -> Iterator[str]:
        return iter(self._adapters)

    def __len__(self) -> int:
        return len(self._adapters)


def _buffer_of(adapter: str) -> str:
    return f"prompt_tokens_of_{adapter}"
