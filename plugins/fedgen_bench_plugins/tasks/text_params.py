"""The knobs of `language_modeling`, and those of them that bear on evaluation alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading
from fedgen_bench_plugins.datasets.sources import NO_TEXT, OWN_TEXT, TextSource
from fedgen_bench_plugins.tasks.canaries import NO_CANARIES, Canaries
from fedgen_bench_plugins.tasks.text_beginning import Bos, LineEnd
from fedgen_bench_plugins.tasks.text_samples import PROMPT_TOKENS

LATER = frozenset({"bos", "canaries", "final_lines", "line_end", "loading", "sample_tokens", "source"})
EVALUATION_ONLY = frozenset(
    {"context_tokens", "stride_tokens", "valid_subset_lines", "final_lines", "batch_windows", "sample_tokens"}
)


@dataclass(frozen=True)
class Params:
    """Knobs of the task.

    Args:
        dataset: `ptb`, `ptb-short` (1,000 lines of validation and of test), `beige-book`, `tiny-wire`, or
            `text_folder`, which is your own.
        backbone: a registered name, a local folder, or a hub name.
        block_tokens: length of a training example in tokens.
        unit_lines: consecutive lines of a document that stay together when data are split over clients (tiny wire: one
            article).
        n_topics: k of the k-means that labels units (PTB and text of your own without a label column; the others know
            their labels).
        heldout_fraction: the tail of every client's units that its own evaluation uses.
        context_tokens, stride_tokens: evaluation windows hold `context_tokens` and score their last `stride_tokens`
            (the first window scores all of its own).
        valid_subset_lines: lines of validation that are evaluated every round, taken in equal runs across it.
        batch_windows: evaluation windows in one forward pass.
        bos: what stands before a client's text and before text to score, read and never predicted: with `none` a line
            end; with `once` the tokenizer's BOS; with `every_window` the BOS, which also takes the place of the first
            token read in every block and window; `auto` is `every_window` for a tokenizer that puts its BOS before a
            text by itself, else `none`.
        sample_tokens: the global model of a finished run goes on with three lines of validation, for as many tokens at
            most, which makes `samples.md`; with 0 it does not.
        line_end: the token that stands for a line's end: the tokenizer's `eos`, or its `newline`, which is what models
            that were trained on running text end lines with.
        source: the text of `text_folder`, a table of its own.
        loading: how the backbone is loaded and held, a table of its own.
        final_lines: lines of validation and of test that are evaluated after the last round, taken in equal runs across
            each; all of them when left out.
        canaries: secrets that are planted with some clients to measure what models give away, a table of its own.
    """

    dataset: Literal["ptb", "ptb-short", "beige-book", "tiny-wire", "text_folder"] = "ptb"
    backbone: str = "mini-lm"
    block_tokens: int = 64
    unit_lines: int = 8
    n_topics: int = 20
    heldout_fraction: float = 0.1
    context_tokens: int = 128
    stride_tokens: int = 128
    valid_subset_lines: int = 400
    batch_windows: int = 8
    bos: Bos = "none"
    line_end: LineEnd = "eos"
    sample_tokens: int = 0
    source: TextSource = NO_TEXT
    loading: Loading = AS_IT_IS
    final_lines: int | None = None
    canaries: Canaries = NO_CANARIES

    own = (OWN_TEXT,)  # data sets that read `source`

    def __post_init__(self) -> None:
        counts = {
            "block_tokens",
            "unit_lines",
            "n_topics",
            "context_tokens",
            "stride_tokens",
            "valid_subset_lines",
            "batch_windows",
        }
        for name in sorted(counts):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.final_lines is not None and self.final_lines < 1:
            raise ValueError(f"final_lines must be at least 1, got {self.final_lines}.")
        if self.sample_tokens < 0:
            raise ValueError(f"sample_tokens must be at least 0, got {self.sample_tokens}.")
        if self.stride_tokens > self.context_tokens:
            raise ValueError(
                f"stride_tokens ({self.stride_tokens}) must not exceed context_tokens ({self.context_tokens})."
            )
        if self.dataset in self.own and not self.source.path:
            raise ValueError(
                f"dataset `{self.dataset}` is your own text. Say where it is with `path` in [task.params.source]."
            )
        if self.dataset not in self.own and self.source != NO_TEXT:
            raise ValueError(f'`source` is read by dataset `{OWN_TEXT}` alone. Set dataset = "{OWN_TEXT}".')
        if not 0 <= self.heldout_fraction < 1:
            raise ValueError(f"heldout_fraction must be within 0 and 1, got {self.heldout_fraction}.")

    @property
    def longest(self) -> int:
        """The most tokens that the backbone gets at a time."""
        sampled = 1 + PROMPT_TOKENS + self.sample_tokens if self.sample_tokens else 0
        return max(self.block_tokens, self.context_tokens, sampled)
