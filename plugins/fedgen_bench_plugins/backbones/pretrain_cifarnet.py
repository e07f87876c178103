"""Train the feature extractor `cifarnet` from a recipe: one thread, resumable after every epoch.

Order, crops and flips of an epoch are keyed by (seed, epoch), so a resumed run needs only weights, optimiser state and
the epoch.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import time
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.functional import cross_entropy, pad

from fedgen_bench import DataError, Places, find_dataset, sha256_of
from fedgen_bench_plugins.backbones.checkpoints import load_checkpoint, save_checkpoint
from fedgen_bench_plugins.backbones.pretrain import Say
from fedgen_bench_plugins.datasets import cifar10
from fedgen_bench_plugins.datasets.images import Images
from fedgen_bench_plugins.datasets.known import CIFAR10
from fedgen_bench_plugins.extractors.convnet import CifarNet

_LOG = ("epoch", "images", "train_loss", "valid_loss", "valid_accuracy")
_TRAINED_ON: tuple[cifar10.Part, ...] = ("public", "federation")
_ALTERNATE = 1 << 32  # key of the draw that no epoch has


@dataclass(frozen=True)
class Training:
    """SGD with Nesterov momentum, linear warm-up and decay to zero, crops of padded images, alternating flips."""

    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    crop_padding: int
    seed: int


@dataclass(frozen=True)
class Recipe:
    """What makes an extractor; `digest` names the result."""

    name: str
    training: Training
    train_sha256: str
    test_sha256: str
    digest: str


def load_recipe(path: Path) -> Recipe:
    """Read a recipe. Raises TypeError or KeyError on unknown or missing keys."""
    raw = path.read_bytes()
    table = tomllib.loads(raw.decode("utf-8-sig"))
    data = table["data"]
    return Recipe(
        table["name"], Training(**table["classifier"]), data["train_sha256"], data["test_sha256"],
        hashlib.sha256(raw).hexdigest(),
    )  # fmt: skip


def pretrain(path: Path, data: Path, workdir: Path, say: Say) -> Path:
    """Run or resume the recipe in `workdir`; return the folder with the finished extractor.

    It holds `model.safetensors` (fp16), `recipe.json` with the test accuracy of these weights, and `loss.csv`.

    Raises:
        DataError: the data are not there or not those of the recipe.
    """
    recipe = load_recipe(path)
    workdir.mkdir(parents=True, exist_ok=True)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        folder = _checked(recipe, data)
        images = cifar10.read_train(folder)
        valid = images.take(cifar10.part_index(images.labels, "valid"))
        known = np.sort(np.concatenate([cifar10.part_index(images.labels, one) for one in _TRAINED_ON]))
        model, log = _train(recipe, images.take(known), valid, workdir / "checkpoint.safetensors", say)
        return _export(recipe, model, log, cifar10.read_test(folder), workdir / "extractor", say)
    finally:
        torch.set_num_threads(n_threads)


def _checked(recipe: Recipe, data: Path) -> Path:
    folder = find_dataset(CIFAR10, Places(data))
    for file, sha256 in ((cifar10.TRAIN, recipe.train_sha256), (cifar10.TEST, recipe.test_sha256)):
        if (got := sha256_of(folder / file)) != sha256:
            raise DataError(
                f"{folder / file} has sha256 {got}, the recipe was written for {sha256}. Use that file, or write its "
                "hash into a recipe of your own."
            )
    return folder


def _train(
    recipe: Recipe, images: Images, valid: Images, checkpoint: Path, say: Say
) -> tuple[CifarNet, list[list[Any]]]:
    training = recipe.training
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        model = CifarNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=training.learning_rate, momentum=training.momentum, weight_decay=training.weight_decay,
        nesterov=True,
    )  # fmt: skip
    log: list[list[Any]] = []
    if checkpoint.exists():
        log = load_checkpoint(checkpoint, model, [optimizer])[0]["log"]
    n_steps = len(images) // training.batch_size
    for epoch in range(len(log), training.epochs):
        began, total = time.monotonic(), 0.0
        model.train()
        pixels, labels = _epoch(images, training, epoch)
        for step in range(n_steps):
            optimizer.param_groups[0]["lr"] = _rate(epoch * n_steps + step, n_steps * training.epochs, training)
            part = slice(step * training.batch_size, (step + 1) * training.batch_size)
            _, logits = model(pixels[part])
            loss = cross_entropy(logits, labels[part], label_smoothing=training.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item()
        held, accuracy = heldout(model, valid)
        n_seen = (epoch + 1) * n_steps * training.batch_size
        log = [*log, [epoch + 1, n_seen, f"{total / n_steps:.4f}", f"{held:.4f}", f"{accuracy:.4f}"]]
        save_checkpoint(checkpoint, model, [optimizer], {"log": log})
        say(
            f"epoch {epoch + 1}/{training.epochs} train {total / n_steps:.4f} valid {held:.4f} accuracy {accuracy:.4f} "
            f"in {time.monotonic() - began:.0f} s"
        )
    return model.eval(), log


def _rate(step: int, n_steps: int, training: Training) -> float:
    n_warmup = training.warmup_fraction * n_steps
    return training.learning_rate * min((step + 1) / n_warmup, (n_steps - step) / (n_steps - n_warmup))


def _epoch(images: Images, training: Training, epoch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All images in the epoch's order, shifted at random; an image is flipped in every other epoch."""
    n, size, most = len(images), images.pixels.shape[-1], 2 * training.crop_padding
    rng = np.random.Generator(np.random.Philox(key=[training.seed, epoch]))
    order = rng.permutation(n)
    down, right = rng.integers(most + 1, size=(2, n))
    first = np.random.Generator(np.random.Philox(key=[training.seed, _ALTERNATE])).integers(2, size=n)
    pixels = torch.from_numpy(images.pixels[order])
    flipped = torch.from_numpy((first[order] + epoch) % 2 == 1)
    pixels[flipped] = pixels[flipped].flip(-1)
    padded = pad(pixels.float(), [training.crop_padding] * 4, mode="reflect").to(torch.uint8)
    shifted = torch.empty_like(pixels)
    for i in range(most + 1):
        for j in range(most + 1):
            chosen = torch.from_numpy((down == i) & (right == j))
            shifted[chosen] = padded[chosen, :, i : i + size, j : j + size]
    return shifted, torch.from_numpy(images.labels[order])


@torch.no_grad()
def heldout(model: CifarNet, images: Images) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy as a fraction, in evaluation mode."""
    model.eval()
    logits = torch.cat([model(part)[1] for part in torch.from_numpy(images.pixels).split(250)])
    labels = torch.from_numpy(images.labels)
    return cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).float().mean().item()


def _export(recipe: Recipe, model: CifarNet, log: list[list[Any]], test: Images, folder: Path, say: Say) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items() if v.is_floating_point()}
    save_file(tensors, folder / "model.safetensors")
    rounded = CifarNet()
    rounded.load_state_dict({name: one.float() for name, one in tensors.items()})
    _, accuracy = heldout(rounded, test)
    about = {"digest": recipe.digest, **asdict(recipe), "test_accuracy": round(accuracy, 4)}
    (folder / "recipe.json").write_text(json.dumps(about, indent=1) + "\n")
    with (folder / "loss.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows([_LOG, *log])
    say(f"test accuracy {accuracy:.4f}")
    return folder
