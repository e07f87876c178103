"""Whether images, backbone and parameters of `image_generation` fit each other, before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import DataError

if TYPE_CHECKING:
    from fedgen_bench_plugins.backbones.unet import UNetBackbone
    from fedgen_bench_plugins.datasets.image_parts import ImageSet
    from fedgen_bench_plugins.tasks.image_params import Params

_FEWEST_COMPARED = 50


def check_sizes(params: Params, images: ImageSet) -> None:
    """Raises DataError when more reference images are asked for than there are."""
    if params.n_reference is not None and params.n_reference > len(images.test):
        raise DataError(
            f"n_reference asks for {params.n_reference} reference images; the test part has {len(images.test)}. "
            "Lower n_reference, or leave it out."
        )


def check_compared(params: Params, images: ImageSet) -> None:
    """Raises DataError when images of one's own are too few for a distance between features to say anything."""
    if not (params.extractors or params.optional_extractors):
        return
    n_valid = min(params.n_valid_samples, params.n_subset_samples or params.n_valid_samples)
    asked = {"valid": n_valid, "test": params.n_samples}
    for part, n_samples in asked.items():
        n_images = len(getattr(images, part))
        if part == "test" and params.n_reference is not None:
            n_images = params.n_reference
        if min(n_images, n_samples) < _FEWEST_COMPARED:
            raise DataError(
                f"Part `{part}` compares {n_samples} generated images with {n_images} of yours; FID and its kin say "
                f"nothing of fewer than {_FEWEST_COMPARED}. Raise {part}_share or the number of samples, or measure "
                "`denoising_loss` alone and set extractors = [] and optional_extractors = []."
            )


def check_labels(params: Params, backbone: UNetBackbone) -> None:
    """Raises DataError when parameters need a missing label and the backbone knows none."""
    if backbone.module.null_label is None and (params.guidance != 1.0 or params.label_dropout):
        raise DataError(
            f"Backbone `{backbone.name}` knows no missing label, which guidance and label_dropout need. Set guidance "
            "to 1.0 and label_dropout to 0.0, or use a backbone with context tokens or one more class embedding."
        )
