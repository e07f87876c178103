"""U-Nets read from folders: what fits, what is refused, and with what words."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones.unet import CONTEXT, ConditionalUNet, new_context, quiet_diffusers, read_unet
from made_unets import N_CLASSES, SIZE, conditional_unet, own, plain_unet, saved, scheduler
from safetensors.torch import load_file, save_file

from fedgen_bench.base.errors import DataError

with quiet_diffusers():
    pass


@pytest.mark.parametrize("nested", [True, False])
def test_read_unet_from_a_folder_of_either_layout(tmp_path, nested):
    unet, context = conditional_unet(), new_context(N_CLASSES, 2, 8)
    saved(tmp_path, unet, context=context, nested=nested)
    found = read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True)
    assert found.module.image_size == SIZE
    assert found.module.null_label == N_CLASSES
    noise, timesteps, labels = torch.randn(2, 3, SIZE, SIZE), torch.tensor([3, 20]), torch.tensor([0, 2])
    with torch.inference_mode():
        ours = found.module(noise, timesteps, labels)
        theirs = ConditionalUNet(unet, context)(noise, timesteps, labels)
    assert ours.shape == noise.shape
    assert torch.equal(ours, theirs)


def test_read_unet_without_context_tokens_makes_the_same_ones_every_time(tmp_path):
    saved(tmp_path, conditional_unet())
    first, second = (read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True) for _ in range(2))
    assert first.sha256 == second.sha256
    assert first.module.context.shape == (N_CLASSES + 1, 4, 8)


def test_read_unet_takes_an_unconditional_model_and_ignores_labels(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    module = read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True).module
    noise, timesteps = torch.randn(2, 3, SIZE, SIZE), torch.tensor([3, 20])
    with torch.inference_mode():
        assert torch.equal(
            module(noise, timesteps, torch.tensor([0, 1])), module(noise, timesteps, torch.tensor([2, 2]))
        )
    assert module.null_label is None
    assert not module.labelled


@pytest.mark.parametrize(
    ("conditions", "null_label"),
    [
        ({"num_class_embeds": N_CLASSES}, None),
        ({"num_class_embeds": N_CLASSES + 1}, N_CLASSES),
        ({"class_embed_type": "timestep"}, None),
    ],
)
def test_read_unet_gives_class_labels_to_a_model_that_takes_them(tmp_path, conditions, null_label):
    unet = plain_unet(**conditions)
    module = own(saved(tmp_path, unet, nested=False)).module
    noise, timesteps, labels = torch.randn(2, 3, SIZE, SIZE), torch.tensor([3, 20]), torch.tensor([0, 1])
    with torch.inference_mode():
        ours = module(noise, timesteps, labels)
        assert torch.equal(ours, unet(noise, timesteps, class_labels=labels).sample)
        assert not torch.equal(ours, module(noise, timesteps, torch.tensor([2, 2])))
    assert module.labelled
    assert module.null_label == null_label


def test_read_unet_refuses_one_that_texts_condition_unless_labels_have_tokens(tmp_path):
    saved(tmp_path, conditional_unet())
    (tmp_path / "text_encoder").mkdir()
    with pytest.raises(DataError, match=r"is conditioned on texts .* put tokens of every label"):
        own(tmp_path)
    saved(tmp_path, conditional_unet(), context=new_context(N_CLASSES, 4, 8))
    assert own(tmp_path).module.labelled


@pytest.mark.parametrize(
    ("unet", "noise", "context", "what"),
    [
        (lambda: plain_unet(sample_size=24), {}, None, "is for images of 24 x 1 pixels a side; the data have 16"),
        (
            lambda: plain_unet(in_channels=1, out_channels=1),
            {},
            None,
            "takes 1 channels and gives 1; colour",
        ),
        (lambda: plain_unet(out_channels=6), {}, None, "predicts a variance too \\(6 channels out of 3\\)"),
        (lambda: plain_unet(sample_size=None), {}, None, "sample_size None in its config"),
        (lambda: plain_unet(num_class_embeds=2), {}, None, "knows 2 classes .num_class_embeds.; the data have 3"),
        (lambda: plain_unet(num_class_embeds=5), {}, None, r"knows 5 classes .* for 3 classes \(4 where the last"),
        (lambda: plain_unet(class_embed_type="identity"), {}, None, "asks for .*class_embed_type `identity`"),
        (lambda: conditional_unet(num_class_embeds=3), {}, None, "beside a context"),
        (
            lambda: conditional_unet(class_embed_type="timestep"),
            {},
            None,
            "`timestep`. beside a context",
        ),
        (lambda: plain_unet(in_channels=4, out_channels=4), {}, None, "works on an autoencoder's latents .4 channels."),
        (plain_unet, {"prediction_type": "flow_prediction"}, None, "predicts `flow_prediction`, for which there is no"),
        (plain_unet, {"thresholding": True}, None, "dynamic thresholding"),
        (conditional_unet, {}, new_context(10, 4, 8), "has context tokens of shape"),
        (conditional_unet, {}, new_context(N_CLASSES, 4, 6), "has context tokens of shape"),
    ],
)
def test_read_unet_refuses_what_does_not_fit(tmp_path, unet, noise, context, what):
    saved(tmp_path, unet(), scheduler(**noise), context)
    with pytest.raises(DataError, match=what):
        read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True)


def test_read_unet_refuses_a_scheduler_of_other_noise(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    path = tmp_path / "scheduler_config.json"
    path.write_text(path.read_text().replace("DDPMScheduler", "FlowMatchEulerDiscreteScheduler"))
    with pytest.raises(DataError, match="is a FlowMatchEulerDiscreteScheduler"):
        own(tmp_path)


def test_read_unet_names_tensors_that_the_file_lacks_or_has_over(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    save_file({name: one for name, one in tensors.items() if name != "conv_out.bias"}, path)
    with pytest.raises(DataError, match=r"1 tensor\(s\) the file lacks \(`conv_out.bias`\)"):
        own(tmp_path)
    save_file({**tensors, "extra": torch.ones(1)}, path)
    with pytest.raises(DataError, match=r"does not know \(`extra`\)"):
        own(tmp_path)
    save_file({**tensors, "conv_out.bias": torch.full((3,), float("nan"))}, path)
    with pytest.raises(DataError, match="not all of it finite"):
        own(tmp_path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (lambda whole: whole[:-100], "Copy it again"),
        (lambda _: b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (lambda _: b"", "cut off"),
    ],
)
def test_read_unet_refuses_files_that_are_not_whole(tmp_path, content, what):
    saved(tmp_path, plain_unet(), nested=False)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    path.write_bytes(content(path.read_bytes()))
    with pytest.raises(DataError, match=what):
        own(tmp_path)


def test_read_unet_refuses_context_tokens_under_another_name(tmp_path):
    saved(tmp_path, conditional_unet())
    save_file({"tokens": new_context(N_CLASSES, 4, 8)}, tmp_path / CONTEXT)
    with pytest.raises(DataError, match=r"\['tokens'\]"):
        own(tmp_path)


def test_read_unet_refuses_images_that_its_levels_cannot_halve(tmp_path):
    saved(tmp_path, plain_unet(sample_size=15), nested=False)
    with pytest.raises(DataError, match="fails on images of 15 pixels a side"):
        read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=15, local=True)


def test_read_unet_refuses_a_folder_without_a_model(tmp_path):
    with pytest.raises(DataError, match="Backbone `own` cannot be loaded"):
        read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True)


def test_read_unet_refuses_pickled_weights(tmp_path):
    saved(tmp_path, plain_unet(), nested=False)
    weights = tmp_path / "diffusion_pytorch_model.safetensors"
    torch.save({}, tmp_path / "diffusion_pytorch_model.bin")
    weights.unlink()
    with pytest.raises(DataError, match="cannot be loaded"):
        read_unet("own", tmp_path, n_classes=N_CLASSES, image_size=SIZE, local=True)
