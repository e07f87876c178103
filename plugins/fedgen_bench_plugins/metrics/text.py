"""Metrics of language models, from summed evidence (`nll_nats`, `n_correct_tokens` and what they are counted in)."""

from __future__ import annotations

import math
from collections.abc import Mapping

from fedgen_bench import MetricSpec, NoParams, hookimpl

_MOST_NATS = 700.0  # whose exponential is still finite


class PerplexityPerWord:
    """exp(total negative log-likelihood / number of words); every line's end counts as one word."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return math.exp(min(evidence["nll_nats"] / evidence["n_words"], _MOST_NATS))


class PerplexityPerToken:
    """exp(total negative log-likelihood / number of tokens); to be compared under one tokenizer alone."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return math.exp(min(evidence["nll_nats"] / evidence["n_tokens"], _MOST_NATS))


class TokenAccuracy:
    """Share of the tokens that the model holds for likelier than every other; under one tokenizer alone, too."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return evidence["n_correct_tokens"] / evidence["n_tokens"]


class BitsPerByte:
    """Total negative log-likelihood in bits over the number of bytes of the text, line ends included."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return evidence["nll_nats"] / math.log(2) / evidence["n_bytes"]


class ExcessNatsPerWord:
    """Nats per word above the generator that wrote the text and knows each article's topic (generated text only)."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, float]) -> float:
        return (evidence["nll_nats"] - evidence["floor_nats"]) / evidence["n_words"]


@hookimpl
def register_metrics() -> list[MetricSpec]:
    return [
        MetricSpec(
            name="perplexity_per_word",
            summary="exp(NLL / words), line ends are words.",
            build=PerplexityPerWord,
            unit="perplexity per word",
            minimum=1.0,
            evidence=frozenset({"nll_nats", "n_words"}),
        ),
        MetricSpec(
            name="perplexity_per_token",
            summary="exp(NLL / tokens), line ends are tokens.",
            build=PerplexityPerToken,
            unit="perplexity per token",
            minimum=1.0,
            evidence=frozenset({"nll_nats", "n_tokens"}),
        ),
        MetricSpec(
            name="token_accuracy",
            summary="Share of the tokens that are predicted.",
            build=TokenAccuracy,
            unit="share of the tokens",
            lower_is_better=False,
            minimum=0.0,
            maximum=1.0,
            evidence=frozenset({"n_correct_tokens", "n_tokens"}),
        ),
        MetricSpec(
            name="bits_per_byte",
            summary="NLL in bits over bytes of text.",
            build=BitsPerByte,
            unit="bits per byte",
            minimum=0.0,
            evidence=frozenset({"nll_nats", "n_bytes"}),
        ),
        MetricSpec(
            name="excess_nats_per_word",
            summary="NLL above the text generator's own, per word.",
            build=ExcessNatsPerWord,
            unit="nats per word",
            evidence=frozenset({"nll_nats", "floor_nats", "n_words"}),
        ),
    ]
