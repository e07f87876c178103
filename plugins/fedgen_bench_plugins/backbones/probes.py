"""Whether a loaded language model can be measured: a tokenizer that fits, and no look ahead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench import DataError

if TYPE_CHECKING:
    from torch import nn

_N_TOKENS = 12
_TOLERANCE = 1e-5  # of the largest logit; rows of one batch differ by rounding alone, if at all


def check_tokenizer(name: str, tokenizer: Any, module: nn.Module) -> None:
    """Whether a backbone's tokenizer has tokens, an end of sequence, and no token without a row of the embedding.

    Raises:
        DataError: it does not, with the numbers.
    """
    ids = set(tokenizer.get_vocab().values())
    if not ids - set(tokenizer.all_special_ids):
        raise DataError(
            f"The tokenizer of backbone `{name}` knows {len(ids)} tokens, all of them special ones, so that text would "
            "vanish. Put the tokenizer that the model was trained with beside its weights."
        )
    rows = len(module.get_input_embeddings().weight)  # type: ignore[operator]
    if max(ids) >= rows:
        raise DataError(
            f"The tokenizer of backbone `{name}` has tokens up to number {max(ids)}; the embedding has {rows} rows, "
            f"for numbers up to {rows - 1}. Use the model's own tokenizer."
        )
    if tokenizer.eos_token_id is None:
        raise DataError(
            f"Backbone `{name}` has no end-of-sequence token, which stands for line ends. Add `eos_token` to its "
            "tokenizer."
        )


def check_causal(name: str, module: nn.Module) -> None:
    """Whether logits are finite and depend on earlier tokens alone: two texts that differ in their last token.

    Raises:
        DataError: the model cannot be called, earlier logits differ, or some are not finite.
    """
    import torch

    rows = len(module.get_input_embeddings().weight)  # type: ignore[operator]
    one = (torch.arange(_N_TOKENS) * 7 + 1) % rows
    other = one.clone()
    other[-1] = (one[-1] + 1) % rows
    try:
        with torch.no_grad():
            logits = module(input_ids=torch.stack([one, other])).logits.float()  # (2, _N_TOKENS, vocabulary)
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(f"Backbone `{name}` cannot be called on text ({reason}). Check its config.") from error
    if not torch.isfinite(logits).all():
        raise DataError(f"Backbone `{name}` computes logits that are not finite. Check its weights.")
    if logits.shape[-1] < rows:
        raise DataError(
            f"Backbone `{name}` predicts {logits.shape[-1]} tokens and reads {rows}. Use a model whose head covers its "
            "embedding."
        )
    earlier = logits[:, :-1]
    if (moved := float((earlier[0] - earlier[1]).abs().max())) > _TOLERANCE * float(logits.abs().max()):
        raise DataError(
            f"Backbone `{name}` sees the answer: another last token changes the logits before it by up to {moved:.2g}. "
            "Use a causal language model; a masked one, such as BERT, has no perplexity."
        )


def check_spelled(name: str, tokenizer: Any, lines: Sequence[str], encoded: Sequence[Sequence[int]]) -> None:
    """Whether a backbone's tokenizer keeps what `lines` say; `encoded` holds the tokens of each.

    Raises:
        DataError: a line has no token, or more unknown ones than the unknown token is written in it.
    """
    unknown, number = tokenizer.unk_token, tokenizer.unk_token_id
    for line, ids in zip(lines, encoded, strict=True):
        if (line.strip() and not ids) or (unknown is not None and ids.count(number) > line.count(unknown)):
            raise DataError(
                f"The tokenizer of backbone `{name}` cannot spell a line of the text, {line[:60]!r}: perplexity per "
                "word would be of another text. Use a backbone whose tokenizer knows every character."
            )
