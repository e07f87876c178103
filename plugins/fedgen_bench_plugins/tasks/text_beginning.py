"""What a text begins with, as context: a line end, or the tokenizer's beginning-of-sequence token (BOS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fedgen_bench import DataError

if TYPE_CHECKING:
    import torch

    from fedgen_bench_plugins.backbones.loading import Backbone

Bos = Literal["none", "once", "every_window", "auto"]
LineEnd = Literal["eos", "newline"]
_ANY_WORD = "a"


@dataclass(frozen=True)
class Beginning:
    """The token that stands before a text's first, read and never predicted.

    Args:
        token: its number.
        everywhere: it also takes the place of the first token that is read in every further block and window.
    """

    token: int
    everywhere: bool = False

    def put(self, inputs: torch.Tensor) -> torch.Tensor:
        """Tokens that are read together, shape (n, length), with what they begin with."""
        if not self.everywhere:
            return inputs
        begun = inputs.clone()
        begun[:, 0] = self.token
        return begun


def line_end_of(wanted: LineEnd, backbone: Backbone) -> int:
    """The token that ends every line (see `text_params.Params.line_end`).

    Raises:
        DataError: the tokenizer has no token of its own for a line feed.
    """
    if wanted == "eos":
        return backbone.eos_id
    ids: list[int] = backbone.tokenizer("\n", add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or ids[0] == backbone.tokenizer.unk_token_id:
        raise DataError(
            f"The tokenizer of backbone `{backbone.name}` has no token for a line feed, which line_end `newline` ends "
            "lines with. Set line_end to `eos`."
        )
    return ids[0]


def beginning_of(bos: Bos, backbone: Backbone, line_end: int) -> Beginning:
    """What texts begin with under a policy (see `text_params.Params.bos`); `line_end` is the token for one.

    Raises:
        DataError: the policy asks for a BOS and the tokenizer has none.
    """
    if bos == "none" or (bos == "auto" and not adds_bos(backbone.tokenizer)):
        return Beginning(line_end)
    if backbone.tokenizer.bos_token_id is None:
        raise DataError(
            f"The tokenizer of backbone `{backbone.name}` has no beginning-of-sequence token, which bos `{bos}` puts "
            "before text. Set bos to `none` or `auto`, or add `bos_token` to the tokenizer."
        )
    return Beginning(int(backbone.tokenizer.bos_token_id), everywhere=bos != "once")


def adds_bos(tokenizer: Any) -> bool:
    """Whether a tokenizer puts its BOS before a text when it is left to its habits."""
    ids: list[int] = tokenizer(_ANY_WORD)["input_ids"]
    return tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
