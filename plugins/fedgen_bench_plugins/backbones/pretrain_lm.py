"""Train a backbone from a recipe: resumable, one loss line a checkpoint, safetensors at the end."""

from __future__ import annotations

import csv
import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from fedgen_bench_plugins.backbones import corpus
from fedgen_bench_plugins.backbones.checkpoints import load_checkpoint, save_checkpoint
from fedgen_bench_plugins.backbones.pretrain import Say
from fedgen_bench_plugins.backbones.recipe_lm import Recipe, load_recipe

_FEW_DOCUMENTS = 10  # a source of no more holds nothing out


def prepare_text(recipe: Recipe, data: Path, workdir: Path, say: Say) -> dict[str, list[np.ndarray]]:
    """Tokenised training documents by source; the tokenizer goes to `workdir/tokenizer.json`.

    The last `heldout_fraction` of each source's documents come back under `<source>/heldout`.
    """
    raw = {source.name: corpus.read_source(source, data) for source in recipe.sources}
    counts = corpus.word_counts(raw.values())
    text = recipe.text
    rng = np.random.Generator(np.random.Philox(key=recipe.training.seed))
    rare = {
        name: corpus.replace_rare(
            documents,
            counts,
            min_count=text.min_count,
            tail_rank=text.tail_rank,
            tail_fraction=text.tail_fraction,
            rng=rng,
        )
        for name, documents in raw.items()
    }
    n_words = sum(len(line.split()) for documents in rare.values() for lines in documents for line in lines)
    n_unk = sum(line.split().count(corpus.UNK) for documents in rare.values() for lines in documents for line in lines)
    say(f"{n_words:,} words, {n_unk / n_words:.2%} of them {corpus.UNK}")
    tokenizer = corpus.train_tokenizer(
        (line for documents in rare.values() for lines in documents for line in lines), text.n_tokens
    )
    tokenizer.save(str(workdir / "tokenizer.json"))
    streams: dict[str, list[np.ndarray]] = {}
    for name, documents in rare.items():
        encoded = corpus.encode_documents(tokenizer, documents)
        n_heldout = max(1, round(len(encoded) * text.heldout_fraction)) if len(encoded) > _FEW_DOCUMENTS else 0
        streams[name] = encoded[: len(encoded) - n_heldout]
        if n_heldout:
            streams[f"{name}/heldout"] = encoded[-n_heldout:]
        say(f"{name}: {sum(map(len, encoded)):,} tokens in {len(encoded):,} documents")
    return streams


def build_model(recipe: Recipe) -> nn.Module:
    """A freshly initialised GPT-2 of the recipe's shape, from the recipe's seed."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = recipe.model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        model: nn.Module = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=recipe.text.n_tokens, n_positions=shape.positions, n_embd=shape.width,
                n_layer=shape.layers, n_head=shape.heads,
                resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=1,
            )
        )  # fmt: skip
    return model


def _optimizers(model: nn.Module, recipe: Recipe) -> list[torch.optim.Optimizer]:
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and ".h." in name]  # noqa: PLR2004 - a matrix
    rest = [p for name, p in model.named_parameters() if not (p.ndim == 2 and ".h." in name)]  # noqa: PLR2004
    training = recipe.training
    return [
        torch.optim.Muon(
            matrices,
            lr=training.matrix_learning_rate,
            weight_decay=training.weight_decay,
            adjust_lr_fn="match_rms_adamw",
        ),
        torch.optim.AdamW(rest, lr=training.learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def _rate_factor(step: int, recipe: Recipe) -> float:
    training = recipe.training
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    return (training.steps - step) / (training.steps - training.warmup_steps)


def _choose(recipe: Recipe, step: int) -> list[str]:
    """Which source each block of a step comes from: a seeded draw from the interpolated shares."""
    progress = step / recipe.training.steps
    shares = np.array([one.share[0] * (1 - progress) + one.share[1] * progress for one in recipe.sources])
    rng = np.random.Generator(np.random.Philox(key=[recipe.training.seed, step]))
    picked = rng.choice(len(shares), size=recipe.training.blocks_per_step, p=shares / shares.sum())
    return [recipe.sources[i].name for i in picked]


class _TiedHeadLoss(torch.autograd.Function):
    """Output head and cross-entropy in one, a few rows at a time.

    Products in bf16, softmax in fp32, no (tokens x vocabulary) tensor. A fifth faster than the plain composition on a
    processor whose cache the logits do not fit in.
    """

    rows = 256

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden16, weight16 = hidden.to(torch.bfloat16), weight.to(torch.bfloat16)
        d_hidden, d_weight, total = torch.empty_like(hidden16), torch.zeros_like(weight), torch.zeros(())
        for start in range(0, len(hidden), _TiedHeadLoss.rows):
            part, wanted = (
                hidden16[start : start + _TiedHeadLoss.rows],
                targets[start : start + _TiedHeadLoss.rows, None],
            )
            logits = (part @ weight16.T).float()
            normaliser = logits.logsumexp(1, keepdim=True)
            total += (normaliser - logits.gather(1, wanted)).sum()
            gradient = (
                logits.sub_(normaliser)
                .exp_()
                .scatter_add_(1, wanted, torch.full_like(wanted, -1.0, dtype=torch.float32))
            )
            gradient16 = gradient.div_(len(hidden)).to(torch.bfloat16)
            d_hidden[start : start + _TiedHeadLoss.rows] = gradient16 @ weight16
            d_weight += gradient16.T @ part
        ctx.save_for_backward(d_hidden, d_weight)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * scale, d_weight * scale, None


def loss_of(model: Any, blocks: torch.Tensor) -> torch.Tensor:
    """Mean next-token loss in nats of blocks of shape (n, length + 1), under bf16 autocast."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.transformer(blocks[:, :-1]).last_hidden_state
    loss = _TiedHeadLoss.apply(hidden.flatten(0, 1), model.lm_head.weight, blocks[:, 1:].flatten())
    return cast("torch.Tensor", loss)


@torch.no_grad()
def _heldout_losses(model: nn.Module, heldout: dict[str, torch.Tensor]) -> dict[str, float]:
    return {
        name: float(np.mean([loss_of(model, part).item() for part in blocks.split(4)]))
        for name, blocks in heldout.items()
    }


def pretrain(path: Path, data: Path, workdir: Path, say: Say) -> Path:
    """Run or resume the recipe in `workdir`; return the folder with the finished backbone.

    `workdir/backbone` then holds `model.safetensors` (fp16), `config.json`, the tokenizer and `loss.csv`.
    """
    recipe = load_recipe(path)
    workdir.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(recipe.training.threads)
    documents = prepare_text(recipe, data, workdir, say)
    length, training = recipe.model.positions, recipe.training
    streams = {
        name: corpus.BlockStream(docs, length, training.seed + i)
        for i, (name, docs) in enumerate(documents.items())
        if "/" not in name
    }
    heldout = {
        name.split("/")[0]: torch.from_numpy(np.stack([block.next() for _ in range(8)])).long()
        for name, docs in documents.items()
        if "/" in name
        for block in [corpus.BlockStream(docs, length, 0)]
    }
    model, log = build_model(recipe), workdir / "loss.csv"
    optimizers = _optimizers(model, recipe)
    base_rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    first_step, checkpoint = 0, workdir / "checkpoint.safetensors"
    if checkpoint.exists():
        position, _ = load_checkpoint(checkpoint, model, optimizers)
        first_step = position["step"]
        for name, (epoch, block) in position["streams"].items():
            streams[name].seek(epoch, block)
        say(f"resuming at step {first_step} of {training.steps}")
    else:
        with log.open("w", newline="") as handle:
            csv.writer(handle).writerow(["step", "tokens", "train_loss", *(f"heldout_{name}" for name in heldout)])
    losses: list[float] = []
    began = time.monotonic()
    for step in range(first_step, training.steps):
        blocks = torch.from_numpy(np.stack([streams[name].next() for name in _choose(recipe, step)])).long()
        for optimizer, base in zip(optimizers, base_rates, strict=True):
            optimizer.param_groups[0]["lr"] = base * _rate_factor(step, recipe)
        parts = blocks.split(training.blocks_per_pass)
        for part in parts:
            loss = loss_of(model, part)
            (loss * (len(part) / len(blocks))).backward()
            losses.append(loss.item())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        done = step + 1
        if done % training.checkpoint_every == 0 or done == training.steps:
            held = _heldout_losses(model, heldout)
            with log.open("a", newline="") as handle:
                row = [
                    done,
                    done * blocks.shape[0] * length,
                    f"{np.mean(losses):.4f}",
                    *(f"{value:.4f}" for value in held.values()),
                ]
                csv.writer(handle).writerow(row)
            position = {"step": done, "streams": {name: [one.epoch, one.block] for name, one in streams.items()}}
            save_checkpoint(checkpoint, model, optimizers, position)
            rate = (done - first_step) * blocks.shape[0] * length / (time.monotonic() - began)
            say(
                f"step {done}/{training.steps} train {np.mean(losses):.3f} "
                + " ".join(f"{k} {v:.3f}" for k, v in held.items())
                + f" {rate:,.0f} tokens/s"
            )
            losses = []
    return _export(recipe, model, workdir)


def _export(recipe: Recipe, model: nn.Module, workdir: Path) -> Path:
    from transformers import PreTrainedTokenizerFast

    backbone = workdir / "backbone"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(workdir / "tokenizer.json"), unk_token=corpus.UNK, eos_token=corpus.EOS, bos_token=corpus.EOS
    )
    cast("Any", model.half()).save_pretrained(backbone, safe_serialization=True)
    tokenizer.save_pretrained(backbone)
    shutil.copy(workdir / "loss.csv", backbone / "loss.csv")
    (backbone / "recipe.json").write_text(json.dumps({"digest": recipe.digest, **asdict(recipe)}, indent=1) + "\n")
    return backbone
