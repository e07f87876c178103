import csv
import json

import numpy as np
import pytest
from fedgen_bench_plugins.backbones import pretrain_cifarnet
from fedgen_bench_plugins.backbones.pretrain import pretrain
from fedgen_bench_plugins.datasets import cifar10
from fedgen_bench_plugins.datasets.images import Images
from fedgen_bench_plugins.extractors.fidelity import SHIPPED, cifarnet

from fedgen_bench.base.errors import DataError

RECIPE = """
name = "small"
[classifier]
epochs = 2
batch_size = 16
learning_rate = 0.1
warmup_fraction = 0.2
momentum = 0.9
weight_decay = 5.0e-4
label_smoothing = 0.1
crop_padding = 2
seed = 1
[data]
train_sha256 = ""
test_sha256 = ""
"""


def random_images(n):
    pixels = np.random.default_rng(n).integers(256, size=(n, 3, 32, 32), dtype=np.uint8)
    return Images(pixels, np.arange(n) % 10)


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture
def few_images(monkeypatch, tmp_path):
    """Ten images a class to train on (of which two are held out), and twenty to test with."""
    monkeypatch.setattr(cifar10, "_N_VALID_PER_CLASS", 2)
    monkeypatch.setattr(cifar10, "_N_PUBLIC_PER_CLASS", 4)
    monkeypatch.setattr(pretrain_cifarnet, "_checked", lambda *_: tmp_path)
    monkeypatch.setattr(cifar10, "read_train", lambda _: random_images(100))
    monkeypatch.setattr(cifar10, "read_test", lambda _: random_images(20))


@pytest.mark.usefixtures("few_images")
def test_pretraining_resumes_to_the_same_bytes(recipe, tmp_path):
    told = []
    whole = pretrain(recipe, tmp_path, tmp_path / "whole", told.append)

    def stop(text):
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt, match="epoch 1/2"):
        pretrain(recipe, tmp_path, tmp_path / "cut", stop)
    resumed = pretrain(recipe, tmp_path, tmp_path / "cut", told.append)
    for file in ("model.safetensors", "loss.csv", "recipe.json"):
        assert (whole / file).read_bytes() == (resumed / file).read_bytes()
    assert [line.split()[:2] for line in told[::2]] == [["epoch", "1/2"], ["test", "accuracy"], ["test", "accuracy"]]
    rows = list(csv.DictReader((whole / "loss.csv").read_text().splitlines()))
    assert [row["images"] for row in rows] == ["80", "160"]
    cifarnet(whole / "model.safetensors")


def test_an_epoch_shows_every_image_once_and_flips_it_in_every_other(recipe):
    images = random_images(40)
    training = pretrain_cifarnet.load_recipe(recipe).training
    uncropped = pretrain_cifarnet.Training(**{**vars(training), "crop_padding": 0})
    first, second = (pretrain_cifarnet._epoch(images, uncropped, epoch)[0].numpy() for epoch in (0, 1))
    seen = {one.tobytes() for one in first} | {one.tobytes() for one in second}
    assert seen == {one.tobytes() for one in images.pixels} | {one[..., ::-1].tobytes() for one in images.pixels}


def test_pretraining_refuses_other_data(recipe, tmp_path):
    for file in (cifar10.TRAIN, cifar10.TEST):
        (tmp_path / file).write_bytes(b"other")
    with pytest.raises(DataError, match="the recipe was written for"):
        pretrain(recipe, tmp_path, tmp_path / "work", print)


def test_shipped_weights_come_from_the_shipped_recipe():
    about = json.loads((SHIPPED.parent / "recipe.json").read_text())
    assert about["digest"] == pretrain_cifarnet.load_recipe(SHIPPED.parent / "recipe.toml").digest
    assert f"{100 * about['test_accuracy']:.2f} %" in (SHIPPED.parent / "README.md").read_text()
