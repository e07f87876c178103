import contextlib
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.datasets import cifar10, tiny_shapes
from fedgen_bench_plugins.datasets.known import CIFAR10
from fedgen_bench_plugins.extractors import Features, load_extractor
from fedgen_bench_plugins.metrics import images
from fedgen_bench_plugins.metrics.images import register_metrics
from threadpoolctl import threadpool_limits
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics

from fedgen_bench import NoParams
from fedgen_bench.base.errors import MissingDataError
from fedgen_bench.registry.datasets import find_dataset

CPU = torch.device("cpu")
SPECS = {spec.name: spec for spec in register_metrics()}


def compute(name, evidence):
    return SPECS[name].build(NoParams()).compute(evidence)


def given(generated, reference):
    return {"generated/cifarnet": generated, "reference/cifarnet": reference}


def with_features(rows):
    return Features(torch.as_tensor(np.array(rows), dtype=torch.float32), torch.zeros(len(rows), 10))


def cross(first, second, centre=(0.0, 0.0)):
    """Four points of mean `centre` and covariance diag(first, second): (+-a, 0), (0, +-b) have 2 a^2 / 3, 2 b^2 / 3."""
    a, b = math.sqrt(1.5 * first), math.sqrt(1.5 * second)
    return np.array([(a, 0), (-a, 0), (0, b), (0, -b)]) + centre


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("cifarnet", Path)


@pytest.fixture(scope="module")
def halves(extractor):
    """Features of 2,000 generated images in two disjoint parts."""
    pixels = torch.from_numpy(tiny_shapes.make(2000, np.random.default_rng(0)).pixels)
    return [extractor.features(one, CPU) for one in pixels.split(1000)]


def noise_features(extractor, n, size):
    generator = torch.Generator().manual_seed(0)
    return extractor.features(torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=generator), CPU)


def test_denoising_loss_is_the_mean():
    assert compute("denoising_loss", {"noise_error": 6.0, "n_noise_errors": 4.0}) == 1.5


def test_fid_of_gaussians_with_axes_in_common():
    # by hand: |(3, 4)|^2 + (1 - 2)^2 + (3 - 2)^2
    evidence = given(with_features(cross(1.0, 9.0, (3.0, 4.0))), with_features(cross(4.0, 4.0)))
    assert compute("fid_cifarnet", evidence) == pytest.approx(27.0, rel=1e-6)


def test_fid_of_gaussians_with_other_axes():
    # by hand: diag(4, 1) and the same turned by 45 degrees; their product has trace 12.5 and determinant 16, its root
    # so the trace sqrt(12.5 + 2 * 4), and the distance is 5 + 5 - 2 sqrt(20.5)
    points = cross(4.0, 1.0)
    turned = points @ (np.array([(1.0, 1.0), (-1.0, 1.0)]) / math.sqrt(2))
    found = compute("fid_cifarnet", given(with_features(points), with_features(turned)))
    assert found == pytest.approx(10 - 2 * math.sqrt(20.5), rel=1e-6)


def test_fid_by_class_compares_a_class_with_its_own():
    # by hand: class "a" 9 = |(3, 0)|^2; class "b" (2 - 1)^2 = 1; of class "c" there is one generated image
    generated = [*cross(1.0, 1.0, (3.0, 0.0)), *cross(4.0, 1.0), (9.0, 9.0)]
    reference = [*cross(1.0, 1.0), *cross(1.0, 1.0), *cross(1.0, 1.0)]
    evidence = given(with_features(generated), with_features(reference)) | {
        "classes": ("a", "b", "c"),
        "generated/labels": torch.tensor([0] * 4 + [1] * 4 + [2]),
        "reference/labels": torch.tensor([0] * 4 + [1] * 4 + [2] * 4),
    }
    found = compute("fid_by_class_cifarnet", evidence)
    assert list(found) == ["a", "b"]
    assert found == pytest.approx({"a": 9.0, "b": 1.0}, rel=1e-6)


def test_class_accuracy_is_the_share_taken_for_their_class():
    # by hand: of class "a" 2 of 3 images, of "b" 0 of 1, of "c" there is none; together 2 of 4
    evidence = {
        "classes": ("a", "b", "c"),
        "generated/labels": torch.tensor([0, 0, 0, 1]),
        "generated/predicted": torch.tensor([0, 0, 2, 0]),
    }
    assert compute("class_accuracy", evidence) == 50.0
    assert compute("class_accuracy_by_class", evidence) == {"a": pytest.approx(200 / 3), "b": 0.0}
    assert not SPECS["class_accuracy"].lower_is_better


def test_kid_of_two_points():
    # by hand, d = 2: k(x, x) + k(y, y) - 2 k(x, y) = (4/2 + 1)^3 + (4/2 + 1)^3 - 2 (0/2 + 1)^3
    evidence = given(with_features([(2.0, 0.0)] * 6), with_features([(0.0, 2.0)] * 4))
    assert compute("kid_cifarnet", evidence) == pytest.approx(52.0, rel=1e-6)


@pytest.mark.parametrize("n", [3, 100])
def test_is_of_one_class_is_one(n):
    logits = torch.zeros(n, 10)
    logits[:, 3] = 5.0
    assert compute("is_cifarnet", {"generated/cifarnet": Features(torch.zeros(n, 2), logits)}) == pytest.approx(1.0)


class Pixels(Dataset):
    def __init__(self, pixels):
        self.pixels = pixels

    def __getitem__(self, index):
        return self.pixels[index]

    def __len__(self):
        return len(self.pixels)


def test_metrics_equal_torch_fidelity_on_the_same_images(extractor):
    rng = np.random.default_rng(1)
    generated, reference = (torch.from_numpy(tiny_shapes.make(n, rng).pixels) for n in (150, 210))
    with threadpool_limits(2, user_api="blas"):  # as our KID: its last digits hang on them
        called = calculate_metrics(
            input1=Pixels(generated), input2=Pixels(reference), feature_extractor="cifarnet", fid=True, kid=True,
            isc=True, kid_subset_size=75, cuda=False, cache=False, save_cpu_ram=True, verbose=False,
        )  # fmt: skip
    evidence = given(extractor.features(generated, CPU), extractor.features(reference, CPU))
    assert compute("fid_cifarnet", evidence) == pytest.approx(called["frechet_inception_distance"], rel=1e-6)
    assert compute("kid_cifarnet", evidence) == pytest.approx(called["kernel_inception_distance_mean"], rel=1e-6)
    assert compute("is_cifarnet", evidence) == pytest.approx(called["inception_score_mean"], rel=1e-6)


@pytest.mark.parametrize("name", ["fid_cifarnet", "kid_cifarnet"])
def test_halves_of_generated_images_are_near_and_noise_is_far(extractor, halves, name):
    near = compute(name, given(*halves))
    far = compute(name, given(noise_features(extractor, 1000, tiny_shapes.SIZE), halves[1]))
    assert far > 20 * near


@pytest.fixture(scope="module")
def cifar10_halves(extractor):
    """Features of 2,000 test images in two disjoint parts."""
    try:
        images = cifar10.read_test(find_dataset(CIFAR10))
    except MissingDataError:
        pytest.skip("CIFAR-10 is not at hand: set FEDGEN_DATA to a folder with it")
    pixels = torch.from_numpy(images.pixels[:2000])
    return [extractor.features(one, CPU) for one in (pixels[::2], pixels[1::2])]


@pytest.mark.parametrize("name", ["fid_cifarnet", "kid_cifarnet"])
def test_halves_of_cifar10_are_near_and_noise_is_far(extractor, cifar10_halves, name):
    near = compute(name, given(*cifar10_halves))
    far = compute(name, given(noise_features(extractor, 1000, cifar10.SIZE), cifar10_halves[1]))
    assert far > 20 * near


def test_is_of_cifar10_is_above_that_of_noise(extractor, cifar10_halves):
    images, noise = cifar10_halves[0], noise_features(extractor, 1000, cifar10.SIZE)
    assert compute("is_cifarnet", given(images, images)) > 2 * compute("is_cifarnet", given(noise, images))


@pytest.mark.parametrize("name", SPECS)
def test_metrics_raise_key_error_without_evidence(name):
    with pytest.raises(KeyError):
        compute(name, {"nll_nats": 1.0, "noise_error": 1.0})


def test_metrics_name_their_extractor_and_direction():
    for name, spec in SPECS.items():
        if name not in {"denoising_loss", "class_accuracy", "class_accuracy_by_class"}:
            assert name.endswith(("_cifarnet", "_inception_v3_compat"))
            assert name.rpartition("_cifarnet")[1].strip("_") in spec.unit
        assert spec.lower_is_better is not name.startswith(("is_", "class_"))
    assert "inception-v3-compat" in SPECS["fid_inception_v3_compat"].unit
    assert SPECS["fid_cifarnet"].build.__doc__.startswith("Fréchet distance")


def test_importing_metrics_and_extractors_loads_no_torch():
    code = (
        "import sys, fedgen_bench_plugins.metrics.images, fedgen_bench_plugins.extractors; "
        "print({'torch', 'torch_fidelity', 'torchvision'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["fid_cifarnet", "kid_cifarnet"])
def test_a_distance_of_one_image_is_refused_with_the_numbers(name):
    one, many = with_features([[1.0, 2.0]]), with_features(cross(1, 1))
    with pytest.raises(ValueError, match="1 generated from 4 reference images"):
        compute(name, given(one, many))


@pytest.mark.parametrize("name", ["fid_cifarnet", "fid_by_class_cifarnet", "kid_cifarnet"])
def test_distances_hang_on_no_number_of_threads(name, monkeypatch):
    monkeypatch.setattr(images, "_N_SUBSETS", 10)
    draws = np.random.default_rng(3)
    labels = torch.arange(1000) % 2
    ours, theirs = (with_features(draws.normal(mean, 2, size=(1000, 256)).clip(0)) for mean in (0, 0.5))
    evidence = given(ours, theirs) | {
        "classes": ("a", "b"), "generated/labels": labels, "reference/labels": labels,
    }  # fmt: skip
    found = []
    for n_threads in (1, 2, 4):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(compute(name, evidence))
    assert found[0] == found[1] == found[2]


def test_kernel_distance_is_that_of_two_threads(monkeypatch):
    """One thread gives other last digits on features of this size, and published distances were made with two."""
    monkeypatch.setattr(images, "_N_SUBSETS", 10)
    draws = np.random.default_rng(3)
    ours, theirs = (with_features(draws.normal(mean, 2, size=(1000, 256)).clip(0)) for mean in (0, 0.5))
    mine = compute("kid_cifarnet", given(ours, theirs))
    monkeypatch.setattr("threadpoolctl.threadpool_limits", lambda *_, **__: contextlib.nullcontext())
    with threadpool_limits(2, user_api="blas"):
        assert compute("kid_cifarnet", given(ours, theirs)) == mine


_ENDED_WORKER = """
import multiprocessing, os, signal
import torch
from fedgen_bench_plugins.extractors import Features
from fedgen_bench_plugins.metrics.images import KernelDistance

def work():
    features = Features(torch.rand(4, 2), torch.zeros(4, 10))
    KernelDistance("x").compute({"generated/x": features, "reference/x": features})
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    worker = multiprocessing.get_context("spawn").Process(target=work)
    worker.start()
    worker.join()
    print(worker.exitcode)
"""


def test_ended_worker_leaves_no_semaphore_of_a_progress_bar(tmp_path):
    script = tmp_path / "work.py"
    script.write_text(_ENDED_WORKER)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert (done.stdout.strip(), done.stderr) == ("-9", "")
