"""The backbone of generated suites: a two-layer GPT-2 that knows the grammar of tiny wire.

It knows neither the topics nor which words are frequent.
"""

from __future__ import annotations

import hashlib
import inspect
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedgen_bench import seeded_globals
from fedgen_bench_plugins.datasets import tiny_wire

LAYERS, WIDTH, HEADS, POSITIONS = 2, 64, 2, 128
STEPS, BATCH, BLOCK, ARTICLES, SEED = 350, 16, 48, 1200, 7
LEARNING_RATE = 4e-3


def recipe_digest() -> str:
    """Identity of what `make` gives: this file, the generator's, and torch's version."""
    text = inspect.getsource(inspect.getmodule(recipe_digest)) + inspect.getsource(tiny_wire)  # type: ignore[arg-type]
    return hashlib.sha256((text + torch.__version__).encode()).hexdigest()[:16]


def make(folder: Path) -> None:
    """Pretrain in seconds on text whose slots are filled from the topic-uniform mixture; save in the hub's layout."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()

    words = {word: i for i, word in enumerate(["<unk>", "<eos>", *tiny_wire.vocabulary()])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="<eos>", bos_token="<eos>")
    rng = np.random.Generator(np.random.Philox(key=SEED))
    lines, _ = tiny_wire.write_articles(tiny_wire.make_grammar(coherence=0.0, exponent=0.0), ARTICLES, rng)
    tokens = torch.tensor([i for line in lines for i in [*(words[w] for w in line.split()), 1]])
    config = GPT2Config(
        vocab_size=len(words), n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with seeded_globals(SEED):
        model = GPT2LMHeadModel(config)
        optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
        for _ in range(STEPS):
            starts = torch.from_numpy(rng.integers(len(tokens) - BLOCK - 1, size=BATCH))
            blocks = tokens[starts[:, None] + torch.arange(BLOCK + 1)]
            logits = model(blocks[:, :-1]).logits
            nn.functional.cross_entropy(logits.flatten(0, 1), blocks[:, 1:].flatten()).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
    torch.set_num_threads(threads)
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
