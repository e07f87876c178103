"""Train a conditional U-Net from a recipe: workers of one thread each, resumable, the moving average of weights kept.

Every draw is keyed by (seed, step, worker), so a resumed run needs only weights, optimiser state and the step.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from fedgen_bench import DataError, Places, find_dataset, sha256_of
from fedgen_bench_plugins.backbones.checkpoints import load_checkpoint, save_checkpoint
from fedgen_bench_plugins.backbones.diffusion import noise_errors, to_pixels, to_unit, training_loss
from fedgen_bench_plugins.backbones.pretrain import Say
from fedgen_bench_plugins.backbones.sampling import sample_ddim
from fedgen_bench_plugins.backbones.unet import CONTEXT, ConditionalUNet, new_context, quiet_diffusers
from fedgen_bench_plugins.datasets import cifar10
from fedgen_bench_plugins.datasets.images import Images, grid
from fedgen_bench_plugins.datasets.known import CIFAR10
from fedgen_bench_plugins.sheets import sheet_png

_N_HELDOUT = 512
_UNLABELLED = len(cifar10.CLASSES)
_GRID_COLUMNS = 10
_GRID_STEPS = 20


@dataclass(frozen=True)
class Training:
    """AdamW, an exponential moving average of the weights, random flips.

    The rate warms up linearly over `warmup_steps`, falls linearly as if to be zero at `decay_steps`, and is taken to
    zero over the last `cooldown_steps` of `steps`. The average's decay is (step + 1) / (step + 10), `ema_decay` at
    most: with 1.0 it is over a share of all steps, about the last tenth (the power law of arXiv 2312.02696, section
    3.1, with gamma 8). With precision `bf16` the network computes under autocast; weights and their average stay fp32.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    decay_steps: int
    cooldown_steps: int
    weight_decay: float
    ema_decay: float
    snr_gamma: float
    seed: int
    workers: int
    checkpoint_every: int
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        if self.precision not in {"fp32", "bf16"}:
            raise ValueError(f"precision must be fp32 or bf16, got {self.precision}.")


@dataclass(frozen=True)
class Context:
    """Context tokens a class; the share of examples that are trained without a label."""

    n_tokens: int
    label_dropout: float


@dataclass(frozen=True)
class Recipe:
    """What makes a U-Net; `digest` names the result. `unet` and `scheduler` are arguments of diffusers' classes.

    It is trained on CIFAR-10's `part` and, where it is `semi_supervised`, on part `unlabelled` without its labels.
    """

    name: str
    unet: dict[str, Any]
    scheduler: dict[str, Any]
    context: Context
    part: cifar10.Part
    semi_supervised: bool
    train_sha256: str
    training: Training
    digest: str


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises TypeError or KeyError on unknown or missing keys."""
    raw = path.read_bytes()
    table = tomllib.loads(raw.decode("utf-8-sig"))
    data = table["data"]
    return Recipe(
        table["name"], table["unet"], table["scheduler"], Context(**table["context"]), data["part"],
        data.get("semi_supervised", False), data["train_sha256"], Training(**table["training"]),
        hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip


def build(recipe: Recipe) -> tuple[ConditionalUNet, Any]:
    """A freshly initialised model from the recipe's seed, and its scheduler."""
    with quiet_diffusers(), torch.random.fork_rng(devices=[]):
        from diffusers import DDPMScheduler, UNet2DConditionModel

        torch.manual_seed(recipe.training.seed)
        unet = UNet2DConditionModel(**recipe.unet)
        width = recipe.unet["cross_attention_dim"]
        context = new_context(len(cifar10.CLASSES), recipe.context.n_tokens, width, recipe.training.seed)
        return ConditionalUNet(unet, context), DDPMScheduler(**recipe.scheduler)


def _read(recipe: Recipe, data: Path) -> tuple[Images, Images]:
    """Training images, and held-out ones of the same labels. Raises DataError for another file than the recipe's."""
    folder = find_dataset(CIFAR10, Places(data))
    if (got := sha256_of(folder / cifar10.TRAIN)) != recipe.train_sha256:
        raise DataError(f"{folder / cifar10.TRAIN} has sha256 {got}, the recipe was written for {recipe.train_sha256}.")
    images = cifar10.read_train(folder)
    train, valid, unlabelled = (
        cifar10.part_index(images.labels, part) for part in (recipe.part, "valid", "unlabelled")
    )
    labels = images.labels
    known = np.unique(labels[train])
    if recipe.semi_supervised:
        train = np.sort(np.concatenate([train, unlabelled]))
        labels = np.where(np.isin(labels, known), labels, _UNLABELLED)
        known = np.append(known, _UNLABELLED)
    shown = Images(images.pixels, labels)
    held = valid[np.isin(labels[valid], known)]
    return shown.take(train), shown.take(held[:: max(1, len(held) // _N_HELDOUT)][:_N_HELDOUT])


def _rate(step: int, training: Training) -> float:
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    decayed = (training.decay_steps - step) / (training.decay_steps - training.warmup_steps)
    cooled = min(1.0, (training.steps - step) / training.cooldown_steps)
    return training.learning_rate * decayed * cooled


def _batch(
    images: Images, recipe: Recipe, step: int, worker: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Generator]:
    """A worker's share of a step: images, half of them flipped; labels, some dropped; the generator of its noise."""
    training = recipe.training
    rng = np.random.Generator(np.random.Philox(key=[training.seed, step * training.workers + worker]))
    index = rng.integers(len(images), size=training.batch_size // training.workers)
    pixels = to_unit(torch.from_numpy(images.pixels[index]))
    flipped = torch.from_numpy(rng.random(len(index)) < 0.5)  # noqa: PLR2004 - half
    pixels[flipped] = pixels[flipped].flip(-1)
    labels = torch.from_numpy(images.labels[index])
    labels[torch.from_numpy(rng.random(len(index)) < recipe.context.label_dropout)] = _UNLABELLED
    return pixels, labels, torch.Generator().manual_seed(int(rng.integers(1 << 62)))


@torch.no_grad()
def heldout_loss(module: nn.Module, scheduler: Any, images: Images) -> float:
    """Unweighted noise-prediction loss; timesteps spread evenly over the images, noise always the same."""
    n_timesteps = len(scheduler.alphas_cumprod)
    timesteps = torch.arange(len(images)) * 389 % n_timesteps
    noise = torch.randn(images.pixels.shape, generator=torch.Generator().manual_seed(0))
    pixels, labels = to_unit(torch.from_numpy(images.pixels)), torch.from_numpy(images.labels)
    parts = zip(*(one.split(64) for one in (pixels, labels, timesteps, noise)), strict=True)
    return float(torch.cat([noise_errors(module, scheduler, *part) for part in parts]).mean())


def pretrain(path: Path, data: Path, workdir: Path, say: Say) -> Path:
    """Run or resume the recipe in `workdir`; return the folder with the finished backbone.

    It holds `unet/` and `scheduler/` as diffusers writes them (weights fp16), `context.safetensors`, `recipe.json`,
    `loss.csv`, and `samples.png`, generated images of the classes it was trained on beside held-out ones.

    Raises:
        DataError: the data are not there or not those of the recipe.
    """
    recipe = load_recipe(path)
    workdir.mkdir(parents=True, exist_ok=True)
    rendezvous = workdir / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    _, heldout = _read(recipe, data)
    spawn: Any = torch.multiprocessing.spawn  # type: ignore[attr-defined]
    spawn(_worker, (path, data, workdir, rendezvous), nprocs=recipe.training.workers)
    say(f"trained {recipe.training.steps} steps")
    return _export(recipe, heldout, workdir)


def _worker(rank: int, path: Path, data: Path, workdir: Path, rendezvous: Path) -> None:
    """One of the recipe's data-parallel workers; the first one writes log and checkpoints."""
    torch.set_num_threads(1)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    recipe = load_recipe(path)
    training = recipe.training
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=training.workers
    )
    images, heldout = _read(recipe, data)
    module, scheduler = build(recipe)
    parallel = nn.parallel.DistributedDataParallel(module)
    average = {name: one.detach().clone() for name, one in module.state_dict().items()}
    optimizer = torch.optim.AdamW(
        module.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay, fused=True
    )
    checkpoint, log, first = workdir / "checkpoint.safetensors", workdir / "loss.csv", 0
    if checkpoint.exists():
        position, extra = load_checkpoint(checkpoint, module, [optimizer])
        first, average = position["step"], extra
    elif rank == 0:
        with log.open("w", newline="") as handle:
            csv.writer(handle).writerow(["step", "images", "train_loss", "heldout_loss"])
    losses: list[float] = []
    began = time.monotonic()
    for step in range(first, training.steps):
        pixels, labels, generator = _batch(images, recipe, step, rank)
        optimizer.param_groups[0]["lr"] = _rate(step, training)
        with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16"):
            loss = training_loss(parallel, scheduler, pixels, labels, generator, training.snr_gamma)
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay = min(training.ema_decay, (step + 1) / (step + 10))
        for name, one in module.state_dict().items():
            average[name].lerp_(one, 1 - decay)
        losses.append(loss.item())
        done = step + 1
        if rank == 0 and (done % training.checkpoint_every == 0 or done == training.steps):
            held = heldout_loss(_with(recipe, average), scheduler, heldout)
            with log.open("a", newline="") as handle:
                row = [done, done * training.batch_size, f"{np.mean(losses):.5f}", f"{held:.5f}"]
                csv.writer(handle).writerow(row)
            save_checkpoint(checkpoint, module, [optimizer], {"step": done}, average)
            rate = (done - first) * training.batch_size / (time.monotonic() - began)
            text = f"step {done}/{training.steps} train {np.mean(losses):.4f} heldout {held:.4f} {rate:.0f} images/s"
            sys.stderr.write(text + "\n")
            losses = []
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def _with(recipe: Recipe, tensors: dict[str, torch.Tensor]) -> ConditionalUNet:
    module, _ = build(recipe)
    module.load_state_dict(tensors)
    return module.eval()


def _export(recipe: Recipe, heldout: Images, workdir: Path) -> Path:
    backbone = workdir / "backbone"
    fresh, scheduler = build(recipe)
    _, average = load_checkpoint(workdir / "checkpoint.safetensors", fresh, [])
    module = _with(recipe, average)
    with quiet_diffusers():
        cast("Any", module.unet).half().save_pretrained(backbone / "unet", safe_serialization=True)
        scheduler.save_pretrained(backbone / "scheduler")
    context = cast("nn.Parameter", module.context).detach().half()
    save_file({"context": context}, backbone / CONTEXT)
    shutil.copy(workdir / "loss.csv", backbone / "loss.csv")
    (backbone / "recipe.json").write_text(json.dumps({"digest": recipe.digest, **asdict(recipe)}, indent=1) + "\n")
    _save_grid(_with(recipe, average), scheduler, heldout, backbone / "samples.png")
    return backbone


@torch.no_grad()
def _save_grid(module: ConditionalUNet, scheduler: Any, heldout: Images, path: Path) -> None:
    """A row a class that is held out: generated images, in all rows from the same latents, and real ones."""
    latents = torch.randn(_GRID_COLUMNS, 3, cifar10.SIZE, cifar10.SIZE, generator=torch.Generator().manual_seed(0))
    rows = []
    for label in np.unique(heldout.labels):
        made = sample_ddim(module, scheduler, latents, torch.full((_GRID_COLUMNS,), label), n_steps=_GRID_STEPS)
        real = heldout.pixels[np.flatnonzero(heldout.labels == label)[:_GRID_COLUMNS]]
        rows.append(
            ((*cifar10.CLASSES, "no label")[label], grid(np.concatenate([to_pixels(made).numpy(), real])[None]))
        )
    path.write_bytes(sheet_png(rows, ("generated", "real")))
