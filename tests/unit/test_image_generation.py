"""The task on tiny U-Nets: what it draws, what it scores and generates, and what it refuses before any training."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.backbones.unet import ConditionalUNet, UNetBackbone, new_context, quiet_diffusers
from fedgen_bench_plugins.captions import Captions, captions_of
from fedgen_bench_plugins.datasets.image_parts import ImageSet
from fedgen_bench_plugins.datasets.images import Images
from fedgen_bench_plugins.datasets.sources import ImageSource
from fedgen_bench_plugins.extractors import Extractor
from fedgen_bench_plugins.tasks.image_generation import EvalImages, ImageGeneration, LoadedImageGeneration, Params
from made_unets import N_CLASSES, SIZE, conditional_unet, own, plain_unet, saved, scheduler
from PIL import Image

from fedgen_bench.base.errors import DataError, Diverged, MissingDataError, UsageError
from fedgen_bench.contract.seeds import SeedTree

with quiet_diffusers():
    pass

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)


def images(n, key=0):
    rng = np.random.Generator(np.random.Philox(key=key))
    return Images(rng.integers(0, 256, (n, 3, SIZE, SIZE), dtype=np.uint8), np.arange(n) % N_CLASSES)


@pytest.fixture(scope="module")
def backbone():
    module = ConditionalUNet(conditional_unet(), new_context(N_CLASSES, 4, 8))
    return UNetBackbone("tiny", module.eval(), scheduler(), "0" * 64)


@pytest.fixture
def make(backbone):
    def make(**changes):
        params = Params(**{"n_scored": 6, "n_subset": 4, "n_samples": 7, "n_valid_samples": 5, "batch_images": 3,
                           "sampler_steps": 3, **changes})  # fmt: skip
        parts = ImageSet(images(30), images(12, 1), images(18, 2), ("a", "b", "c"), {"file": "1" * 64})
        return LoadedImageGeneration(params, parts, backbone, [])

    return make


class Recorder(torch.nn.Module):
    """Predicts nothing and keeps what it was called with."""

    def __init__(self):
        super().__init__()
        self.unused, self.calls = torch.nn.Parameter(torch.zeros(1)), []

    def forward(self, pictures, timesteps, labels):
        self.calls.append((pictures.clone(), timesteps.clone(), labels.clone()))
        return torch.zeros_like(pictures)


def test_client_data_holds_the_tail_out(make):
    task = make(heldout_fraction=0.2)
    data = task.client_data(np.arange(3, 13))
    assert data.train.n == 8
    assert data.train.tensors["labels"].tolist() == [i % N_CLASSES for i in range(3, 11)]
    assert torch.equal(data.heldout.pixels, torch.from_numpy(task.images.train.pixels[11:13]))
    assert (data.heldout.n_scored, data.heldout.n_samples) == (2, 0)


def test_client_data_of_one_image_trains_on_it(make):
    data = make(heldout_fraction=0.9).client_data(np.array([4]))
    assert (data.train.n, data.heldout) == (1, None)


def test_loss_shows_every_contender_the_same_noise_timesteps_and_flips(make):
    task, first, second = make(), Recorder(), Recorder()
    batch = task.client_data(np.arange(8)).train.tensors
    for module in (first, second):
        task.loss(module, batch, torch.Generator().manual_seed(5))
    for ours, theirs in zip(first.calls[0], second.calls[0], strict=True):
        assert torch.equal(ours, theirs)


def test_loss_flips_half_of_the_images_only_when_asked(make):
    batch = {"pixels": torch.zeros(400, 3, SIZE, SIZE, dtype=torch.uint8), "labels": torch.zeros(400, dtype=torch.long)}
    batch["pixels"][..., 0] = 255  # a bright left edge
    seen = {}
    for flip in (True, False):
        module = Recorder()
        make(flip=flip).loss(module, batch, torch.Generator().manual_seed(5))
        pictures, timesteps, _ = module.calls[0]
        early = timesteps < 4  # hardly any noise yet
        left, right = (pictures[early][..., edge].mean(dim=(1, 2)) for edge in (0, -1))
        seen[flip] = float((right > left).float().mean())
    assert seen[False] == 0
    assert 0.25 < seen[True] < 0.75


def test_loss_drops_labels_only_when_asked(make):
    batch = make().client_data(np.arange(20)).train.tensors
    for dropout, wanted in ((0.0, 0), (0.9999999, len(batch["labels"]))):
        module = Recorder()
        make(label_dropout=dropout).loss(module, batch, torch.Generator().manual_seed(5))
        assert int((module.calls[0][2] == N_CLASSES).sum()) == wanted


def test_observe_scores_each_chosen_image_at_each_part_of_the_schedule(make):
    task, module = make(noise_levels=4, n_subset=5), Recorder()
    found = task.observe(module, task.split("valid_subset"), SEEDS)
    timesteps = torch.cat([call[1] for call in module.calls])
    assert found["n_noise_errors"] == 20.0
    assert set(found) == {"noise_error", "n_noise_errors"}
    assert torch.equal(timesteps.reshape(5, 4) // 10, torch.arange(4).expand(5, 4))  # 40 timesteps in four parts
    assert 0.9 < found["noise_error"] / 20 < 1.1  # no prediction: the noise's own mean square


def test_observe_shows_two_models_the_same_noise_and_latents(make):
    task, first, second = make(), Recorder(), Recorder()
    for module in (first, second):
        task.observe(module, task.split("test"), SEEDS)
    assert len(first.calls) == len(second.calls) > 2
    for ours, theirs in zip(first.calls, second.calls, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_observe_of_splits_generates_classes_in_turn(make):
    task = make()
    with torch.inference_mode():
        found = task.observe(task.new_module(), task.split("valid"), SEEDS)
    assert found["generated/labels"].tolist() == [0, 1, 2, 0, 1]
    assert torch.equal(found["reference/labels"], torch.from_numpy(task.images.valid.labels))
    assert found["classes"] == ("a", "b", "c")


def test_generated_images_are_the_same_every_time_and_differ_by_seed(make):
    task = make()
    labels = torch.arange(6) % N_CLASSES
    with torch.inference_mode():
        first, again, other = (
            task._generate(task.new_module(), labels, seeds, "samples/test")
            for seeds in (SEEDS, SEEDS, SeedTree("task", "adapter", "partitioner", "strategy", 12))
        )
    assert first.dtype == torch.uint8
    assert first.shape == (6, 3, SIZE, SIZE)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_images_of_a_backbone_that_knows_no_labels_are_of_no_class(make, tmp_path):
    task = make()
    task.backbone = own(saved(tmp_path, plain_unet()))
    with torch.inference_mode():
        found = task.observe(task.new_module(), task.split("valid"), SEEDS)
    assert found.keys() == task.evidence("valid") == {"noise_error", "n_noise_errors"}


@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_other_predictions_train_and_generate(make, tmp_path, kind):
    task = make()
    task.backbone = own(saved(tmp_path, plain_unet(num_class_embeds=4), scheduler(prediction_type=kind)))
    module, batch = task.new_module(), task.client_data(np.arange(8)).train.tensors
    loss = task.loss(module, batch, torch.Generator().manual_seed(1))
    assert loss.isfinite()
    assert loss > 0
    with torch.inference_mode():
        found = task.observe(module, task.split("valid"), SEEDS)
    assert np.isfinite(found["noise_error"])
    assert found["generated/labels"].tolist() == [0, 1, 2, 0, 1]


def test_guidance_changes_what_is_generated(make):
    labels = torch.arange(3)
    with torch.inference_mode():
        plain, guided = (make(guidance=w)._generate(make().new_module(), labels, SEEDS, "x") for w in (1.0, 4.0))
    assert not torch.equal(plain, guided)


def test_dpm_solver_gives_other_images_than_ddim(make):
    labels = torch.arange(3)
    with torch.inference_mode():
        found = [make(sampler=one)._generate(make().new_module(), labels, SEEDS, "x") for one in ("ddim", "dpm_solver")]
    assert not torch.equal(*found)


def test_images_are_generated_after_rounds_where_that_is_asked_for(make):
    task = make(n_subset_samples=4)
    own = task.client_data(np.arange(5, 30)).heldout
    with torch.inference_mode():
        ours, theirs = (task.observe(task.new_module(), one, SEEDS) for one in (task.split("valid_subset"), own))
    assert ours["generated/labels"].tolist() == [0, 1, 2, 0]
    assert theirs["reference/labels"].tolist() == [28 % 3, 29 % 3]  # a tenth of 25 images, rounded down
    assert theirs["generated/labels"].tolist() == [1, 2, 1, 2]
    assert ours.keys() == theirs.keys() == task.evidence("valid_subset")
    assert "generated/labels" not in make().evidence("valid_subset")


def test_clients_may_generate_another_number_of_images_than_rounds_do(make):
    task = make(n_subset_samples=4, n_client_samples=0)
    assert task.split("valid_subset").n_samples == 4
    assert task.client_data(np.arange(30)).heldout.n_samples == 0
    with pytest.raises(ValueError, match="n_client_samples must be at least 2"):
        Params(n_client_samples=1)


def test_a_client_s_images_are_compared_with_its_own(make):
    class Brightness(torch.nn.Module):
        def forward(self, pixels):
            return pixels.float().mean((2, 3)), pixels.float().mean((2, 3))

    task = make(n_subset_samples=2)
    task.extractors = [Extractor("bright", "1" * 64, Brightness())]
    own = task.client_data(np.arange(30)).heldout
    with torch.inference_mode():
        found = task.observe(task.new_module(), own, SEEDS)["reference/bright"].features
    assert torch.equal(found, own.pixels.float().mean((2, 3)))


def telling(classes):
    """An extractor that takes every image for its class 1."""

    class Told(torch.nn.Module):
        def forward(self, pixels):
            n = len(pixels)
            return torch.zeros(n, 2), torch.tensor([[0.0, 1.0, 0.0]]).expand(n, 3)

    return Extractor("told", "1" * 64, Told(), classes)


def test_what_is_generated_is_told_where_an_extractor_knows_the_classes(make):
    task = make()
    task.extractors = [telling(("x", "y", "z")), telling(task.images.classes)]
    with torch.inference_mode():
        found = task.observe(task.new_module(), task.split("valid"), SEEDS)
    assert found["generated/predicted"].tolist() == [1] * 5
    assert found.keys() == task.evidence("valid")
    assert "generated/predicted" not in task.evidence("valid_subset")


@pytest.mark.parametrize("classes", [("x", "y", "z"), ("b", "a", "c"), ()])
def test_nothing_is_told_by_an_extractor_of_other_classes(make, classes):
    task = make()
    task.extractors = [telling(classes)]
    with torch.inference_mode():
        found = task.observe(task.new_module(), task.split("valid"), SEEDS)
    assert "generated/predicted" not in found
    assert found.keys() == task.evidence("valid")


def test_reference_is_cut_to_what_is_asked_for(make):
    assert len(make(n_reference=5).split("test").pixels) == 5
    assert len(make().split("test").pixels) == 18


def showcase(task):
    with torch.inference_mode():
        first, second = (task.showcase(task.new_module(), SEEDS) for _ in range(2))
    assert first == second
    return Image.open(io.BytesIO(first))


def test_showcase_is_a_strip_of_two_a_class_over_real_ones(make):
    task = make()
    picture = showcase(task)
    assert picture.size == (2 * N_CLASSES * SIZE, 2 * SIZE)
    assert captions_of(picture.text, picture.width) == Captions(("a", "b", "c"), "real images")
    # labels of the test images are 0, 1, 2, 0, 1, 2, ...: the first two of a class are 0 and 3, 1 and 4, 2 and 5
    shown = np.asarray(picture)[SIZE:].reshape(SIZE, 2 * N_CLASSES, SIZE, 3).transpose(1, 3, 0, 2)
    assert np.array_equal(shown, task.images.test.pixels[[0, 3, 1, 4, 2, 5]])


def test_showcase_shows_none_of_the_user_s_own_images(make):
    picture = showcase(make(dataset="image_folder", source=ImageSource(path="mine")))
    assert picture.size == (2 * N_CLASSES * SIZE, SIZE)
    assert captions_of(picture.text, picture.width) == Captions(("a", "b", "c"))


def test_showcase_of_a_backbone_without_labels_names_no_class(make, tmp_path):
    task = make()
    task.backbone = own(saved(tmp_path, plain_unet()))
    picture = showcase(task)
    assert captions_of(picture.text, picture.width) == Captions((), "real images")


def test_provenance_names_files_backbone_and_extractors(make):
    assert make().provenance == {"file": "1" * 64, "backbone tiny": "0" * 64}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"n_samples": 1}, "n_samples must be at least 2"),
        ({"n_valid_samples": 0}, "n_valid_samples must be at least 2"),
        ({"n_reference": 1}, "n_reference must be at least 2"),
        ({"n_subset_samples": 1}, "n_subset_samples must be at least 2"),
        ({"n_subset_samples": -1}, "n_subset_samples must be at least 2"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"sampler_steps": 0}, "sampler_steps must be at least 1"),
        ({"heldout_fraction": 1.0}, "heldout_fraction must be"),
        ({"label_dropout": -0.1}, "label_dropout must be"),
        ({"snr_gamma": 0.0}, "snr_gamma must be"),
    ],
)
def test_params_refuse(change, what):
    with pytest.raises(ValueError, match=what):
        Params(**change)


def _absent(name):
    if isinstance(name, Path):
        return name
    if Path(name).is_dir():
        raise UsageError(f"There is no data set {name}.")
    raise MissingDataError(f"{name} is not there.")


def test_load_refuses_guidance_without_a_missing_label(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    params = Params(dataset="tiny-shapes", backbone=str(tmp_path), guidance=2.0)
    with pytest.raises(DataError, match="knows no missing label"):
        ImageGeneration(params).load(_absent)


def test_load_refuses_more_reference_images_than_there_are():
    params = Params(dataset="tiny-shapes", backbone="tiny-shapes-unet", n_reference=1001)
    with pytest.raises(DataError, match="asks for 1001 reference images; the test part has 1000"):
        ImageGeneration(params).load(_absent)


def test_load_refuses_sampler_steps_that_the_scheduler_cannot_follow():
    params = Params(dataset="tiny-shapes", backbone="tiny-shapes-unet", sampler_steps=501)
    with pytest.raises(DataError, match="begins at timestep 500"):
        ImageGeneration(params).load(_absent)


def test_generated_images_that_are_not_finite_are_divergence(make):
    class Broken(Recorder):
        def forward(self, pictures, timesteps, labels):
            return super().forward(pictures, timesteps, labels) * float("nan")

    with pytest.raises(Diverged, match="not finite"):
        make()._generate(Broken(), torch.arange(3), SEEDS, "x")


def test_load_leaves_out_optional_extractors_that_are_not_there(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    task = ImageGeneration(Params(dataset="tiny-shapes", backbone=str(tmp_path), n_valid_samples=4)).load(_absent)
    assert [one.name for one in task.extractors] == ["cifarnet"]
    with torch.inference_mode():
        found = task.observe(
            task.new_module(), EvalImages(*_first(task, 6), n_scored=2, n_samples=4, part="valid"), SEEDS
        )
    assert found["generated/cifarnet"].features.shape[0] == 4
    assert found["reference/cifarnet"].features.shape[0] == len(task.images.valid)


def _first(task, n):
    return torch.from_numpy(task.images.valid.pixels[:n]), torch.from_numpy(task.images.valid.labels[:n])
