"""A pretraining recipe: one TOML file that, with the data it names by hash, makes a backbone."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fedgen_bench_plugins.backbones.corpus import Source


@dataclass(frozen=True)
class Text:
    """The tokenizer's size and the `<unk>` convention (see `corpus.replace_rare`)."""

    n_tokens: int
    min_count: int
    tail_rank: int
    tail_fraction: float
    heldout_fraction: float


@dataclass(frozen=True)
class Model:
    """GPT-2 architecture with tied embeddings and no dropout."""

    layers: int
    width: int
    heads: int
    positions: int


@dataclass(frozen=True)
class Training:
    """Muon on the matrices, AdamW on the rest, linear warm-up and linear decay to zero, bf16 autocast."""

    steps: int
    blocks_per_step: int
    blocks_per_pass: int
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float
    warmup_steps: int
    seed: int
    threads: int
    checkpoint_every: int


@dataclass(frozen=True)
class Recipe:
    """What makes a backbone; `digest` names the result."""

    name: str
    text: Text
    model: Model
    training: Training
    sources: tuple[Source, ...]
    digest: str


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises TypeError on unknown or missing keys."""
    raw = path.read_bytes()
    table = tomllib.loads(raw.decode("utf-8-sig"))
    sources = tuple(Source(**{**one, "share": tuple(one["share"])}) for one in table["source"])
    return Recipe(
        table["name"],
        Text(**table["text"]),
        Model(**table["model"]),
        Training(**table["training"]),
        sources,
        hashlib.sha256(raw).hexdigest(),
    )
