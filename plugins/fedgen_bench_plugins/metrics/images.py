"""Metrics of image generators: denoising loss, and distances between generated and reference images' features.

Evidence of the distances: for an extractor, `generated/<extractor>` and `reference/<extractor>` (`features` of shape
(n, d), `logits` of shape (n, k)); by class also `classes`, `generated/labels` and `reference/labels`. All these numbers
are torch-fidelity's. Evidence of accuracy: `generated/predicted`, the label that a classifier gives every image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from fedgen_bench import MetricSpec, NoParams, hookimpl

if TYPE_CHECKING:
    import torch

EXTRACTORS: Mapping[str, Mapping[str, str]] = {  # with the contract checks that their metrics cannot keep
    "cifarnet": {},
    "inception-v3-compat": {"check_metric": "the weights of Inception do not come with the package"},
}
_UNTOLD = {"check_metric": "images of the classes that `cifarnet` tells are in no small task"}
_RNG_SEED = 2020  # torch-fidelity's default, for KID's subsets and the Inception Score's order
_N_SUBSETS, _SUBSET_SIZE = 100, 500
_OF_KERNEL_DISTANCE = 2  # threads: its products are fp32 and hang on them, and published distances have these bits
_N_SPLITS = 10
_FID_ROUNDING = 1e-2  # how far below zero the square root of a nearly singular matrix may bring a distance
_FEWEST = 2  # images a covariance can be had from


class DenoisingLoss:
    """Mean squared error of the predicted noise, averaged over images, each with its own timestep and noise."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, Any]) -> float:
        return float(evidence["noise_error"] / evidence["n_noise_errors"])


@dataclass(frozen=True)
class FrechetDistance:
    """Fréchet distance of Gaussians fitted to the features of generated and of reference images.

    |mu_g - mu_r|^2 + tr(S_g + S_r - 2 (S_g S_r)^(1/2)), Heusel et al. 2017, equation 6. Its expectation falls with the
    number of images: compare only equal numbers of them.
    """

    extractor: str

    def compute(self, evidence: Mapping[str, Any]) -> float:
        generated, reference = _both(evidence, self.extractor)
        return _frechet(generated.features, reference.features)


@dataclass(frozen=True)
class FrechetDistanceByClass:
    """Fréchet distance of each class: its generated images against its reference images.

    A mapping from names of classes, those with at least two images on both sides. It rests on few images a class and
    so is far above the distance of all images; it is for comparing contenders on a class, not classes.
    """

    extractor: str

    def compute(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        generated, reference = _both(evidence, self.extractor)
        found = {}
        for label, name in enumerate(evidence["classes"]):
            ours = generated.features[evidence["generated/labels"] == label]
            theirs = reference.features[evidence["reference/labels"] == label]
            if min(len(ours), len(theirs)) >= _FEWEST:
                found[name] = _frechet(ours, theirs)
        return found


@dataclass(frozen=True)
class KernelDistance:
    """Squared maximum mean discrepancy of features under the kernel (x.y / d + 1)^3, Binkowski et al. 2018, section 4.

    The unbiased estimator (it may be slightly negative), averaged over 100 pairs of random subsets of 500 images, or of
    half of the smaller set where that is less. The subsets are always the same.
    """

    extractor: str

    def compute(self, evidence: Mapping[str, Any]) -> float:
        from torch_fidelity import KEY_METRIC_KID_MEAN

        generated, reference = (one.features for one in _both(evidence, self.extractor))
        subset_size = max(_FEWEST, min(_SUBSET_SIZE, len(generated) // 2, len(reference) // 2))
        subsets = {"kid_subsets": _N_SUBSETS, "kid_subset_size": subset_size, "rng_seed": _RNG_SEED}
        with _threads(_OF_KERNEL_DISTANCE):
            found = _kernel_distance()(generated, reference, **subsets, verbose=False)
        return float(found[KEY_METRIC_KID_MEAN])


@dataclass(frozen=True)
class InceptionScore:
    """exp of the mean divergence of an image's class probabilities from those of all, Salimans et al. 2016, section 4.

    Of generated images alone; the mean over 10 splits, or over one an image where there are fewer images.
    """

    extractor: str

    def compute(self, evidence: Mapping[str, Any]) -> float:
        from torch_fidelity import KEY_METRIC_ISC_MEAN
        from torch_fidelity.metric_isc import isc_features_to_metric

        logits = evidence[f"generated/{self.extractor}"].logits
        found = isc_features_to_metric(logits, splits=min(_N_SPLITS, len(logits)), rng_seed=_RNG_SEED)
        return float(found[KEY_METRIC_ISC_MEAN])


class ClassAccuracy:
    """Share of generated images that a classifier takes for the class they were generated for, in percent.

    GAN-test of Shmelkov et al. 2018 (arXiv 1807.09499), section 3. Guidance raises it at the cost of variety, which it
    does not see: read it beside FID.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, Any]) -> float:
        return _percent(evidence["generated/predicted"] == evidence["generated/labels"])


class ClassAccuracyByClass:
    """`ClassAccuracy` of each class: a mapping from names of classes, those that images were generated for."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def compute(self, evidence: Mapping[str, Any]) -> dict[str, float]:
        predicted, wanted = evidence["generated/predicted"], evidence["generated/labels"]
        own = {name: predicted[wanted == label] == label for label, name in enumerate(evidence["classes"])}
        return {name: _percent(right) for name, right in own.items() if len(right)}


def _percent(right: torch.Tensor) -> float:
    return 100 * int(right.sum()) / len(right)


def _both(evidence: Mapping[str, Any], extractor: str) -> tuple[Any, Any]:
    generated, reference = evidence[f"generated/{extractor}"], evidence[f"reference/{extractor}"]
    if min(len(generated.features), len(reference.features)) < _FEWEST:
        raise ValueError(
            f"A distance of {len(generated.features)} generated from {len(reference.features)} reference images has no "
            f"value. Give at least {_FEWEST} of both."
        )
    return generated, reference


@contextmanager
def _threads(n: int) -> Iterator[None]:
    """So many for numpy's products and eigenvalues, whatever the machine has."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(n, user_api="blas"):
        yield


@cache
def _kernel_distance() -> Callable[..., Mapping[str, float]]:
    """torch-fidelity's, which counts its subsets with tqdm, under a lock of this process alone.

    tqdm's own lock is one for several processes: reported as leaked where the worker that made it is ended.
    """
    from torch_fidelity import metric_kid

    metric_kid.tqdm.set_lock(RLock())
    return cast("Callable[..., Mapping[str, float]]", metric_kid.kid_features_to_metric)


@_threads(1)  # more only wait for each other on matrices this small
def _frechet(generated: torch.Tensor, reference: torch.Tensor) -> float:
    from torch_fidelity import KEY_METRIC_FID
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    statistics = (fid_features_to_statistics(one) for one in (generated, reference))
    return float(fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID])


def _on(metric: Callable[[str], object], extractor: str) -> Callable[[NoParams], object]:
    """How the metric is built for an extractor."""

    def build(_: NoParams) -> object:
        return metric(extractor)

    build.__doc__ = metric.__doc__
    return build


def _metrics_on(extractor: str, exceptions: Mapping[str, str]) -> list[MetricSpec]:
    suffix, features = extractor.replace("-", "_"), f"({extractor} features)"
    both = frozenset({f"generated/{extractor}", f"reference/{extractor}"})
    labels = frozenset({"classes", "generated/labels", "reference/labels"})
    found = [
        MetricSpec(
            name=f"fid_{suffix}", summary=f"Fréchet distance to reference images {features}.",
            build=_on(FrechetDistance, extractor), unit=f"FID {features}", minimum=-_FID_ROUNDING,
            evidence=both,
        ),
        MetricSpec(
            name=f"kid_{suffix}", summary=f"Kernel distance to reference images {features}.",
            build=_on(KernelDistance, extractor), unit=f"KID {features}, mean of {_N_SUBSETS} subsets",
            evidence=both,
        ),
        MetricSpec(
            name=f"is_{suffix}", summary=f"Inception Score of generated images ({extractor} logits).",
            build=_on(InceptionScore, extractor), unit=f"Inception Score ({extractor} logits)", lower_is_better=False,
            minimum=1.0, evidence=frozenset({f"generated/{extractor}"}),
        ),
        MetricSpec(
            name=f"fid_by_class_{suffix}", summary=f"Fréchet distance of each class {features}.",
            build=_on(FrechetDistanceByClass, extractor), unit=f"FID of a class {features}", minimum=-_FID_ROUNDING,
            evidence=both | labels,
        ),
    ]  # fmt: skip
    return [replace(one, exceptions=exceptions) for one in found]


@hookimpl
def register_metrics() -> list[MetricSpec]:
    told = frozenset({"generated/predicted", "generated/labels"})
    return [
        MetricSpec(
            name="denoising_loss", summary="Mean squared error of the predicted noise.", build=DenoisingLoss,
            unit="mean squared error of the noise", minimum=0.0,
            evidence=frozenset({"noise_error", "n_noise_errors"}),
        ),
        MetricSpec(
            name="class_accuracy", summary="Generated images that a classifier takes for their class.",
            build=ClassAccuracy, unit="% of generated images taken for their class", lower_is_better=False,
            minimum=0.0, maximum=100.0, evidence=told, exceptions=_UNTOLD,
        ),
        MetricSpec(
            name="class_accuracy_by_class", summary="Generated images of each class that a classifier takes for it.",
            build=ClassAccuracyByClass, unit="% of a class's generated images taken for it", lower_is_better=False,
            minimum=0.0, maximum=100.0, evidence=told | {"classes"}, exceptions=_UNTOLD,
        ),
        *(spec for extractor, exceptions in EXTRACTORS.items() for spec in _metrics_on(extractor, exceptions)),
    ]  # fmt: skip
