"""Image generation with any diffusers U-Net for pixels: training, DDIM samples, features for FID and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from fedgen_bench import (
    BackboneSpec,
    Chosen,
    ClientData,
    DatasetSpec,
    Diverged,
    Examples,
    Find,
    Holdings,
    MicroBatch,
    Parts,
    SeedTree,
    TaskSpec,
    Tensors,
    UnitTable,
    hookimpl,
    private_copy,
    to_device,
)
from fedgen_bench_plugins.backbones.known import CIFARNET, MINI_UNET, MINI_UNET_SEMI, TINY_SHAPES_UNET
from fedgen_bench_plugins.datasets.known import CIFAR10, INCEPTION
from fedgen_bench_plugins.tasks.heldout import n_heldout, without_tail
from fedgen_bench_plugins.tasks.image_checks import check_compared, check_labels, check_sizes
from fedgen_bench_plugins.tasks.image_params import EVALUATION_ONLY, LATER, Params
from fedgen_bench_plugins.tasks.image_scoring import EvalImages, noise_evidence
from fedgen_bench_plugins.tasks.image_sets import IMAGE_SETS, ImageReader

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import nn

    from fedgen_bench_plugins.backbones.diffusion import Noising
    from fedgen_bench_plugins.backbones.exporting import UNetExporter
    from fedgen_bench_plugins.backbones.unet import UNetBackbone
    from fedgen_bench_plugins.datasets.image_parts import ImageSet
    from fedgen_bench_plugins.datasets.images import Images
    from fedgen_bench_plugins.extractors import Extractor, Features

_SHOWN_PER_CLASS = 2


@dataclass(frozen=True)
class ImageGeneration:
    """What `build` returns: parameters known, nothing read.

    Args:
        params: of the task.
        image_sets: by the names that the parameter `dataset` may have; a plugin's own task brings its own.
    """

    params: Params
    image_sets: Mapping[str, ImageReader] = field(default_factory=lambda: IMAGE_SETS)

    @property
    def _reader(self) -> ImageReader:
        return self.image_sets[self.params.dataset]

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._reader.datasets)

    def files(self, find: Find) -> dict[str, Path | Chosen]:
        from fedgen_bench_plugins.backbones.shipped import folders_of
        from fedgen_bench_plugins.extractors import extractor_file, extractors_at_hand

        params = self.params
        extractors = extractors_at_hand(params.extractors, params.optional_extractors, find)
        weights = {f"extractor {name}": extractor_file(name, find) for name in extractors}
        backbone = folders_of(params.backbone, find, params.loading)
        return {**self._reader.files(find, params.source), **backbone, **weights}

    def load(self, find: Find) -> LoadedImageGeneration:
        """Raises DataError when data, backbone or extractors cannot be had or do not fit each other."""
        from fedgen_bench_plugins.backbones.loading import load_unet
        from fedgen_bench_plugins.backbones.sampling import ddim_timesteps
        from fedgen_bench_plugins.extractors import extractors_at_hand, load_extractor

        params = self.params
        opened = self._reader.open(find, params.source)
        backbone = load_unet(
            params.backbone, n_classes=len(opened.classes), image_size=opened.size, find=find, loading=params.loading
        )
        images = opened.load(backbone.module.image_size)
        check_sizes(params, images)
        if opened.size is None:
            check_compared(params, images)
        check_labels(params, backbone)
        ddim_timesteps(backbone.scheduler, params.sampler_steps)
        names = extractors_at_hand(params.extractors, params.optional_extractors, find)
        extractors = [load_extractor(name, find) for name in names]
        return LoadedImageGeneration(params, images, backbone, extractors)


class LoadedImageGeneration:
    """The task with its images, backbone and extractors in memory."""

    def __init__(self, params: Params, images: ImageSet, backbone: UNetBackbone, extractors: list[Extractor]) -> None:
        self.params, self.images, self.backbone, self.extractors = params, images, backbone, extractors
        self.backbone_parameters = sum(parameter.numel() for parameter in backbone.module.parameters())
        self.provenance: Mapping[str, str] = {
            **images.provenance,
            f"backbone {backbone.name}": backbone.sha256,
            **{f"extractor {one.name}": one.sha256 for one in extractors},
        }
        self._reference = lru_cache(maxsize=None)(self._reference_features)

    def units(self, seeds: SeedTree) -> UnitTable:
        """Every training image is a unit; column `label` holds its class, the others are the images' own."""
        return UnitTable(len(self.images.train), {"label": self.images.train.labels, **self.images.columns})

    def client_data(self, units: np.ndarray) -> ClientData:
        """Images and labels; the last ones are held out when at least two are left to train on."""
        kept = self.trained_units(units)
        tail = units[len(kept) :]
        pixels, labels = _tensors(self.images.train.take(kept))
        heldout = None
        if len(tail):
            params, own = self.params, _tensors(self.images.train.take(tail))
            n_samples = params.n_subset_samples if params.n_client_samples is None else params.n_client_samples
            heldout = EvalImages(*own, n_scored=len(tail), n_samples=n_samples)
        return ClientData(Examples({"pixels": pixels, "labels": labels}, len(kept)), heldout)

    def trained_units(self, units: np.ndarray) -> np.ndarray:
        """All but the tail."""
        return without_tail(units, self.params.heldout_fraction)

    def holdings(self, parts: Parts) -> Holdings:
        """Images that each client trains on, and whether it holds a tail out."""
        tails = n_heldout(parts.sizes, self.params.heldout_fraction)
        return Holdings(parts.sizes - tails, tails > 0)

    @cached_property
    def _splits(self) -> dict[str, EvalImages]:
        params = self.params
        valid, (pixels, labels) = _tensors(self.images.valid), _tensors(self.images.test)
        test = pixels[: params.n_reference], labels[: params.n_reference]
        return {
            "valid_subset": EvalImages(
                *valid, n_scored=params.n_subset, n_samples=params.n_subset_samples, part="valid"
            ),
            "valid": EvalImages(*valid, n_scored=params.n_scored, n_samples=params.n_valid_samples, part="valid"),
            "test": EvalImages(*test, n_scored=params.n_scored, n_samples=params.n_samples, part="test"),
        }

    def split(self, name: str) -> EvalImages:
        """`valid_subset`, `valid` or `test`."""
        return self._splits[name]

    def new_module(self) -> nn.Module:
        """A private copy of the backbone."""
        return private_copy(self.backbone.module)

    def loss(self, module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
        """Loss of what is predicted; flips, dropped labels, timesteps and noise come from `generator`, on the CPU."""
        return self.losses(module, [batch], [generator])[0]

    def losses(
        self, module: nn.Module, batches: Sequence[Tensors], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        """`loss` of each batch, from one pass."""
        from fedgen_bench_plugins.backbones.diffusion import training_losses

        noised = [self._noised(batch, generator) for batch, generator in zip(batches, generators, strict=True)]
        return training_losses(module, self.backbone.scheduler, noised, self.params.snr_gamma)

    def micro_batches(self, batch: Tensors, size: int, generator: torch.Generator) -> list[MicroBatch]:
        """Every image counts alike, with the flip, label, timestep and noise that it has in the whole batch."""
        whole = vars(self._noised(batch, generator))
        n = len(batch["labels"])
        starts = range(0, n, size)
        parts = ({name: tensor[start : start + size] for name, tensor in whole.items()} for start in starts)
        return [MicroBatch(part, len(part["labels"]) / n) for part in parts]

    def _noised(self, batch: Tensors, generator: torch.Generator) -> Noising:
        import torch

        from fedgen_bench_plugins.backbones.diffusion import Noising, drawn_noising, to_unit

        if "noise" in batch:  # a micro-batch
            return Noising(**batch)
        images, labels = to_unit(batch["pixels"]), batch["labels"]
        draws = to_device(torch.rand(2, len(labels), generator=generator), images.device)
        if self.params.flip:
            images = torch.where((draws[0] < 0.5)[:, None, None, None], images.flip(-1), images)  # noqa: PLR2004 - half
        if self.params.label_dropout:
            labels = labels.masked_fill(draws[1] < self.params.label_dropout, self._null_label)
        return drawn_noising(self.backbone.scheduler, images, labels, generator)

    @property
    def _null_label(self) -> int:
        null = self.backbone.module.null_label
        return -1 if null is None else null

    def observe(self, module: nn.Module, data: EvalImages, seeds: SeedTree) -> dict[str, Any]:
        """`noise_error` (sum of mean squared errors, float64) and `n_noise_errors`; for splits also features.

        Those are, for every extractor, `generated/<extractor>` and `reference/<extractor>`; from a backbone that knows
        labels also `generated/labels`, `reference/labels` and the names of the `classes`, and where an extractor tells
        these very classes `generated/predicted`, what it takes each image for.
        """
        params, generator = self.params, seeds.torch("evaluation", purpose="noise")
        evidence = noise_evidence(
            module, self.backbone.scheduler, data, generator, n_levels=params.noise_levels, n_batch=params.batch_images
        )
        if not data.n_samples:
            return evidence
        labels = self._labels_in_turn(data.n_samples)
        if not data.part:  # a client's own
            labels = data.labels.repeat(-(-len(labels) // len(data.labels)))[: len(labels)]
        pixels = self._generate(module, labels, seeds, f"samples/{data.part}")
        if self.backbone.module.labelled:
            evidence |= {
                "classes": self.images.classes, "generated/labels": labels, "reference/labels": data.labels,
            }  # fmt: skip
        device = next(module.parameters()).device
        for i, extractor in enumerate(self.extractors):
            evidence[f"generated/{extractor.name}"] = extractor.features(pixels, device)
            evidence[f"reference/{extractor.name}"] = (
                self._reference(i, data.part, device) if data.part else extractor.features(data.pixels, device)
            )
        if classifier := self._classifier:
            evidence["generated/predicted"] = evidence[f"generated/{classifier.name}"].logits.argmax(dim=1)
        return evidence

    def evidence(self, split: str) -> frozenset[str]:
        """Noise errors of every split; images and their features where some are generated."""
        found = {"noise_error", "n_noise_errors"}
        if self.split(split).n_samples:
            found |= {"classes", "generated/labels", "reference/labels"} if self.backbone.module.labelled else set()
            found |= {f"{of}/{one.name}" for one in self.extractors for of in ("generated", "reference")}
            found |= {"generated/predicted"} if self._classifier else set()
        return frozenset(found)

    @property
    def _classifier(self) -> Extractor | None:
        """The extractor whose logits are of the classes that images are generated for."""
        known = (one for one in self.extractors if one.classes == tuple(self.images.classes))
        return next(known, None) if self.backbone.module.labelled else None

    def _reference_features(self, extractor: int, part: str, device: torch.device) -> Features:
        return self.extractors[extractor].features(self.split(part).pixels, device)

    def _labels_in_turn(self, n: int) -> torch.Tensor:
        import torch

        return torch.arange(n) % len(self.images.classes)

    def _generate(self, module: nn.Module, labels: torch.Tensor, seeds: SeedTree, purpose: str) -> torch.Tensor:
        """Generated uint8 pixels on the CPU, one image a label; latents come from the evaluation stream."""
        import torch

        from fedgen_bench_plugins.backbones.diffusion import to_pixels
        from fedgen_bench_plugins.backbones.sampling import sample_ddim

        device, size = next(module.parameters()).device, self.images.size
        latents = torch.randn((len(labels), 3, size, size), generator=seeds.torch("evaluation", purpose=purpose))
        parts = [
            sample_ddim(
                module, self.backbone.scheduler, some.to(device), wanted.to(device),
                n_steps=self.params.sampler_steps, guidance=self.params.guidance, null_label=self._null_label,
                second_order=self.params.sampler == "dpm_solver",
            )
            for some, wanted in zip(
                latents.split(self.params.batch_images), labels.split(self.params.batch_images), strict=True
            )
        ]  # fmt: skip
        images = torch.cat(parts)
        if not images.isfinite().all():
            raise Diverged("Generated images have values that are not finite.")
        return to_pixels(images).cpu()

    def exporter(self) -> UNetExporter:
        """For diffusers and peft."""
        from fedgen_bench_plugins.backbones.exporting import UNetExporter

        return UNetExporter(self.backbone, self.params.loading)

    def showcase(self, module: nn.Module, seeds: SeedTree) -> bytes:
        """A strip of generated images, two a class, classes in order, over a strip of real ones; PNG with `Captions`.

        The user's own images are not shown: what is shown is published.
        """
        import numpy as np

        from fedgen_bench_plugins.captions import Captions
        from fedgen_bench_plugins.datasets.images import grid_png

        classes = self.images.classes
        labels = self._labels_in_turn(_SHOWN_PER_CLASS * len(classes)).sort().values
        strips = [self._generate(module, labels, seeds, "showcase").numpy()]
        test = self.images.test
        firsts = [np.flatnonzero(test.labels == label)[:_SHOWN_PER_CLASS] for label in range(len(classes))]
        real = np.concatenate(firsts)
        below = "real images" if self.params.dataset not in self.params.own and len(real) == len(labels) else ""
        if below:
            strips.append(test.pixels[real])
        columns = tuple(classes) if self.backbone.module.labelled else ()
        return grid_png(np.stack(strips), Captions(columns, below).to_text())


def _tensors(images: Images) -> tuple[torch.Tensor, torch.Tensor]:
    import torch

    return torch.from_numpy(images.pixels), torch.from_numpy(images.labels)


@hookimpl
def register_datasets() -> list[DatasetSpec]:
    return [CIFAR10, INCEPTION]


@hookimpl
def register_backbones() -> list[BackboneSpec]:
    return [MINI_UNET, MINI_UNET_SEMI, TINY_SHAPES_UNET, CIFARNET]


@hookimpl
def register_tasks() -> list[TaskSpec]:
    summary = "Training of any diffusers U-Net for pixels, and FID, KID and denoising loss of it."
    trial = {
        "dataset": "tiny-shapes", "backbone": "tiny-shapes-unet", "n_samples": 40, "n_valid_samples": 40,
        "n_reference": 200, "n_scored": 20, "n_subset": 10, "sampler_steps": 4, "optional_extractors": (),
    }  # fmt: skip
    return [
        TaskSpec(
            name="image_generation", summary=summary, build=ImageGeneration, params=Params, trial=trial,
            evaluation_only=EVALUATION_ONLY, later=LATER,
            libraries=("diffusers:UNet2DConditionModel", "diffusers:DDPMScheduler", "diffusers:DDIMScheduler"),
        )
    ]  # fmt: skip
