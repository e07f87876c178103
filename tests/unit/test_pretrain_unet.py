"""Pretraining of a U-Net: the schedule, the draws, and a run that is interrupted and resumed."""

from __future__ import annotations

import hashlib
import io
import json

import numpy as np
import pytest
import torch
from fedgen_bench_plugins.backbones import pretrain_unet
from fedgen_bench_plugins.backbones.checkpoints import load_checkpoint
from fedgen_bench_plugins.backbones.pretrain import pretrain
from fedgen_bench_plugins.backbones.shipped import SHIPPED
from fedgen_bench_plugins.datasets import cifar10
from fedgen_bench_plugins.datasets.sources import NO_IMAGES
from fedgen_bench_plugins.tasks.image_sets import IMAGE_SETS
from PIL import Image

from fedgen_bench.base.errors import DataError, UsageError

RECIPE = """
name = "tiny"
[unet]
sample_size = 8
in_channels = 48
out_channels = 48
down_block_types = ["CrossAttnDownBlock2D"]
mid_block_type = "UNetMidBlock2DCrossAttn"
up_block_types = ["CrossAttnUpBlock2D"]
block_out_channels = [8]
layers_per_block = 1
cross_attention_dim = 8
attention_head_dim = 2
norm_num_groups = 4
[scheduler]
num_train_timesteps = 20
[context]
n_tokens = 2
label_dropout = 0.1
[data]
dataset = "cifar10"
part = "public"
train_sha256 = "{sha256}"
[training]
steps = 6
batch_size = 4
learning_rate = 1e-2
warmup_steps = 2
decay_steps = 8
cooldown_steps = 3
weight_decay = 0.0
ema_decay = 0.9
snr_gamma = 5.0
seed = 3
workers = 1
checkpoint_every = 2
"""


def parquet_of(labels):
    """A file in the hub's layout; images of a class are all alike."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    encoded = []
    for label in range(10):
        picture, out = Image.new("RGB", (32, 32), (25 * label, 255 - 25 * label, 128)), io.BytesIO()
        picture.save(out, format="PNG")
        encoded.append(out.getvalue())
    rows = [{"bytes": encoded[label], "path": f"{i}.png"} for i, label in enumerate(labels)]
    out = io.BytesIO()
    pq.write_table(pa.table({"img": rows, "label": labels}), out)
    return out.getvalue()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 3,500 images of each vehicle, as many as the parts need, and 1,000 of each animal."""
    folder = tmp_path_factory.mktemp("data")
    counts = [3500 if label in cifar10.VEHICLES else 1000 for label in range(10)]
    labels = np.random.Generator(np.random.Philox(key=1)).permutation(np.repeat(np.arange(10), counts)).tolist()
    (folder / cifar10.TRAIN).write_bytes(parquet_of(labels))
    (folder / cifar10.TEST).write_bytes(parquet_of(list(range(10))))
    return folder


@pytest.fixture
def recipe(data, tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(sha256=hashlib.sha256((data / cifar10.TRAIN).read_bytes()).hexdigest()))
    return path


def work(recipe, data, folder):
    """The one worker in this process; what it leaves, whether or not it comes to its end."""
    folder.mkdir(exist_ok=True)
    rendezvous = folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    try:
        pretrain_unet._worker(0, recipe, data, folder, rendezvous)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return folder / "checkpoint.safetensors"


def content(recipe, checkpoint):
    module, _ = pretrain_unet.build(pretrain_unet.load_recipe(recipe))
    position, average = load_checkpoint(checkpoint, module, [])
    return position, {**average, **{f"model/{name}": one for name, one in module.state_dict().items()}}


def test_pretraining_resumed_after_an_interruption_ends_with_the_same_weights(recipe, data, tmp_path, monkeypatch):
    position, untouched = content(recipe, work(recipe, data, tmp_path / "untouched"))
    assert position == {"step": 6}
    steps, whole = iter(range(100)), pretrain_unet.training_loss

    def cut_off(*arguments):
        if next(steps) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(pretrain_unet, "training_loss", cut_off)
        with pytest.raises(KeyboardInterrupt):
            work(recipe, data, tmp_path / "again")
    checkpoint = work(recipe, data, tmp_path / "again")
    position, resumed = content(recipe, checkpoint)
    assert position == {"step": 6}
    assert untouched.keys() == resumed.keys()
    assert all(torch.equal(one, resumed[name]) for name, one in untouched.items())
    assert (tmp_path / "again" / "loss.csv").read_text() == (tmp_path / "untouched" / "loss.csv").read_text()


def test_bf16_trains_other_weights_and_keeps_them_in_fp32(recipe, data, tmp_path):
    short = recipe.read_text().replace("steps = 6", "steps = 2")
    found = []
    for precision in ("fp32", "bf16"):
        recipe.write_text(f'{short}precision = "{precision}"\n')
        found.append(content(recipe, work(recipe, data, tmp_path / precision))[1])
    assert {one.dtype for one in found[1].values()} == {torch.float32}
    assert not all(torch.equal(one, found[1][name]) for name, one in found[0].items())
    assert all(torch.allclose(one, found[1][name], atol=0.05) for name, one in found[0].items())


def test_recipe_of_another_precision_is_refused(recipe):
    recipe.write_text(recipe.read_text() + 'precision = "fp16"\n')
    with pytest.raises(ValueError, match="precision must be fp32 or bf16, got fp16"):
        pretrain_unet.load_recipe(recipe)


def test_batches_differ_by_step_and_worker_and_drop_labels(recipe, data):
    made = pretrain_unet.load_recipe(recipe)
    images, heldout = pretrain_unet._read(made, data)
    assert len(images) == 12_000
    assert set(np.unique(heldout.labels)) == set(cifar10.VEHICLES)
    first, again, later = (pretrain_unet._batch(images, made, step, 0) for step in (0, 0, 1))
    assert torch.equal(first[1], again[1])
    assert first[2].initial_seed() == again[2].initial_seed() != later[2].initial_seed()
    labels = torch.cat([pretrain_unet._batch(images, made, step, 0)[1] for step in range(200)])
    # 800 labels, a tenth of them dropped: 80, standard deviation 8.5; four of them are allowed.
    assert abs(int((labels == 10).sum()) - 80) < 34


def test_semi_supervised_pretraining_sees_animals_without_their_labels(recipe, data):
    recipe.write_text(recipe.read_text().replace('part = "public"', 'part = "public"\nsemi_supervised = true'))
    images, heldout = pretrain_unet._read(pretrain_unet.load_recipe(recipe), data)
    # the file has 500 images of each animal beyond validation's; of vehicles 3,000 are public
    assert dict(zip(*np.unique(images.labels, return_counts=True), strict=True)) == {
        0: 3000,
        1: 3000,
        8: 3000,
        9: 3000,
        10: 3000,
    }
    red = images.pixels[images.labels == 10][:, 0, 0, 0]
    assert set(np.unique(red)) == {25 * label for label in range(10) if label not in cifar10.VEHICLES}
    assert set(np.unique(heldout.labels)) == {*cifar10.VEHICLES, 10}


def test_clients_hold_none_of_the_animals_that_semi_supervised_pretraining_saw(data, monkeypatch):
    monkeypatch.setattr(cifar10, "_N_UNLABELLED_PER_CLASS", 300)
    whole, left = (
        IMAGE_SETS[name].open(lambda _: data, NO_IMAGES).load(cifar10.SIZE) for name in ("cifar10", "cifar10-semi")
    )
    animals = [500 if label not in cifar10.VEHICLES else 0 for label in range(10)]
    assert np.bincount(whole.train.labels, minlength=10).tolist() == animals
    assert np.bincount(left.train.labels, minlength=10).tolist() == [max(0, n - 300) for n in animals]
    assert np.array_equal(whole.valid.pixels, left.valid.pixels)


def test_export_shows_what_it_generates_beside_real_images(recipe, data, tmp_path):
    recipe.write_text(recipe.read_text().replace("steps = 6", "steps = 1"))
    made = pretrain_unet.load_recipe(recipe)
    work(recipe, data, tmp_path / "work")
    folder = pretrain_unet._export(made, pretrain_unet._read(made, data)[1], tmp_path / "work")
    with Image.open(folder / "samples.png") as sheet:
        # four vehicles; ten generated and ten real images of 32 pixels twice as large, columns and rows 8 pixels apart
        assert sheet.height == 30 + 4 * (64 + 8) + 8
        # the last image of a class is real: all of one colour, which says the class
        shown = [sheet.getpixel((sheet.width - 40, 38 + 72 * place + 32)) for place in range(4)]
    assert shown == [(25 * label, 255 - 25 * label, 128) for label in cifar10.VEHICLES]


def test_rate_warms_up_falls_and_cools_down(recipe):
    training = pretrain_unet.load_recipe(recipe).training
    found = [pretrain_unet._rate(step, training) / training.learning_rate for step in range(6)]
    # Warm-up 1/2, 1; then (8 - step) / 6, times min(1, (6 - step) / 3).
    assert found == pytest.approx([1 / 2, 1, 1, 5 / 6, 4 / 6 * 2 / 3, 3 / 6 * 1 / 3])


def test_pretraining_refuses_other_data_than_the_recipe_s(recipe, data):
    recipe.write_text(recipe.read_text().replace('train_sha256 = "', 'train_sha256 = "0'))
    with pytest.raises(DataError, match="the recipe was written for 0"):
        pretrain_unet._read(pretrain_unet.load_recipe(recipe), data)


@pytest.mark.parametrize(("text", "what"), [("name = 1", r"has none of the tables \[text\]"), ("=", "cannot be read")])
def test_pretrain_refuses_what_is_no_recipe(text, what, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UsageError, match=what):
        pretrain(tmp_path / "recipe.toml", tmp_path, tmp_path / "work", print)


@pytest.mark.parametrize(("name", "most_bytes"), [("mini-unet", 8_000_000), ("mini-unet-semi", 12_000_000)])
def test_shipped_unet_is_the_one_of_its_recipe(name, most_bytes):
    folder = SHIPPED[name]
    made = json.loads((folder / "recipe.json").read_text())
    assert made["digest"] == pretrain_unet.load_recipe(folder / "recipe.toml").digest
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    assert size < most_bytes
