"""The knobs of `image_generation`, and those of them that bear on evaluation alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedgen_bench_plugins.backbones.options import AS_IT_IS, Loading
from fedgen_bench_plugins.datasets.sources import NO_IMAGES, OWN_IMAGES, ImageSource

_FEWEST_COMPARED = 2
_NONE = {"n_subset_samples": 0, "n_client_samples": 0}  # what says that no images are generated
LATER = frozenset({"loading", "source", "sampler", "n_subset_samples", "n_client_samples"})
EVALUATION_ONLY = frozenset(
    {
        "sampler", "sampler_steps", "guidance", "n_samples", "n_valid_samples", "n_reference", "n_scored", "n_subset",
        "n_subset_samples", "n_client_samples", "noise_levels", "extractors", "optional_extractors", "batch_images",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Params:
    """Knobs of the task.

    Args:
        dataset: `cifar10`; `cifar10-semi`, without the animals that semi-supervised pretraining saw; `tiny-shapes`
            (generated, 16 x 16); or `image_folder`, which is your own.
        backbone: a registered name, a local folder, or a hub name.
        snr_gamma: min-SNR weighting of the training loss; none when left out.
        flip: mirror half of the training images.
        label_dropout: share of the training images that are trained without their label, for guidance.
        sampler: `ddim`, or `dpm_solver`, which is DPM-Solver++(2M).
        sampler_steps, guidance: of the sampler; guidance other than 1 takes two passes a step.
        n_samples, n_valid_samples: images generated for test and for validation, classes in turn.
        n_reference: test images that generated ones are compared with, the first ones of the file; all when left out.
        n_scored: images of validation and of test whose noise prediction is scored.
        n_subset: those that are scored after a round.
        n_subset_samples: images generated after every round, so that FID and its kin can be followed; none when 0.
        n_client_samples: images generated for a client's own evaluation, with labels as its held-out images have them;
            `n_subset_samples` when left out.
        noise_levels: timesteps at which an image is scored, spread evenly over the schedule.
        heldout_fraction: the tail of every client's images that its own evaluation uses.
        extractors: feature extractors that must be at hand.
        optional_extractors: those that are used where their weights are at hand.
        batch_images: images in one forward pass of evaluation; it takes part in the bits of results.
        source: the images of `image_folder`, a table of its own.
        loading: how the backbone is loaded and held, a table of its own.
    """

    dataset: Literal["cifar10", "cifar10-semi", "tiny-shapes", "image_folder"] = "cifar10"
    backbone: str = "mini-unet"
    snr_gamma: float | None = 5.0
    flip: bool = True
    label_dropout: float = 0.0
    sampler: Literal["ddim", "dpm_solver"] = "ddim"
    sampler_steps: int = 10
    guidance: float = 1.0
    n_samples: int = 1000
    n_valid_samples: int = 500
    n_reference: int | None = None
    n_scored: int = 500
    n_subset: int = 100
    n_subset_samples: int = 0
    n_client_samples: int | None = None
    noise_levels: int = 2
    heldout_fraction: float = 0.1
    extractors: tuple[str, ...] = ("cifarnet",)
    optional_extractors: tuple[str, ...] = ("inception-v3-compat",)
    batch_images: int = 50
    source: ImageSource = NO_IMAGES
    loading: Loading = AS_IT_IS

    own = (OWN_IMAGES,)  # data sets that read `source`

    def __post_init__(self) -> None:
        counts = {
            "sampler_steps", "n_scored", "n_subset", "noise_levels", "batch_images",
        }  # fmt: skip
        for name in sorted(counts):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        for name in ("n_samples", "n_valid_samples", "n_reference", *_NONE):
            if (n := getattr(self, name)) is not None and n < _FEWEST_COMPARED and n != _NONE.get(name):
                raise ValueError(f"{name} must be at least {_FEWEST_COMPARED}, which a covariance needs, got {n}.")
        for name in ("heldout_fraction", "label_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}.")
        if self.dataset in self.own and not self.source.path:
            raise ValueError(
                f"dataset `{self.dataset}` is your own images. Say where they are with `path` in [task.params.source]."
            )
        if self.dataset not in self.own and self.source != NO_IMAGES:
            raise ValueError(f'`source` is read by dataset `{OWN_IMAGES}` alone. Set dataset = "{OWN_IMAGES}".')
        if not abs(self.guidance) < float("inf"):
            raise ValueError(f"guidance must be a finite number, got {self.guidance}.")
        if self.snr_gamma is not None and not 0 < self.snr_gamma < float("inf"):
            raise ValueError(f"snr_gamma must be a finite number above 0, got {self.snr_gamma}.")
