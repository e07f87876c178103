"""The noise-prediction loss and DDIM sampling, against formulas by hand and diffusers' own pipeline."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from fedgen_bench_plugins.backbones import diffusion, prediction, sampling
from fedgen_bench_plugins.backbones.unet import quiet_diffusers
from torch import nn

from fedgen_bench.base.errors import DataError

with quiet_diffusers():
    from diffusers import (
        DDIMPipeline,
        DDIMScheduler,
        DDPMScheduler,
        DPMSolverMultistepScheduler,
        UNet2DModel,
    )


@pytest.fixture
def scheduler():
    return DDPMScheduler(num_train_timesteps=100, beta_schedule="squaredcos_cap_v2")


class Knowing(nn.Module):
    """Knows the clean image of every label, so that it predicts the noise exactly."""

    def __init__(self, scheduler, clean):
        super().__init__()
        self.alphas, self.clean = scheduler.alphas_cumprod, clean

    def forward(self, images, timesteps, labels):
        alphas = self.alphas[timesteps][:, None, None, None]
        return (images - alphas.sqrt() * self.clean[labels]) / (1 - alphas).sqrt()


class Silent(nn.Module):
    """Predicts no noise at all."""

    def forward(self, images, timesteps, labels):  # noqa: ARG002 - as a U-Net is called
        return torch.zeros_like(images)


def test_pixels_and_unit_interval_are_inverse():
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert diffusion.to_unit(pixels).min() == -1
    assert diffusion.to_unit(pixels).max() == 1
    assert torch.equal(diffusion.to_pixels(diffusion.to_unit(pixels)), pixels)
    assert diffusion.to_pixels(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_noise_errors_are_zero_for_who_knows_the_image(scheduler):
    clean = torch.rand(3, 3, 8, 8) * 2 - 1
    noise, timesteps = torch.randn(3, 3, 8, 8), torch.tensor([1, 50, 98])
    errors = diffusion.noise_errors(Knowing(scheduler, clean), scheduler, clean, torch.arange(3), timesteps, noise)
    assert errors.shape == (3,)
    assert float(errors.max()) < 1e-6


def test_training_loss_of_no_prediction_is_the_noise_s_mean_square(scheduler):
    images, labels = torch.rand(64, 3, 8, 8), torch.zeros(64, dtype=torch.long)
    loss = diffusion.training_loss(Silent(), scheduler, images, labels, torch.Generator().manual_seed(1))
    # 64 * 192 standard normal squares: mean 1, standard error sqrt(2 / 12288) = 0.0128; four of them are allowed.
    assert abs(float(loss) - 1) < 0.052


def test_training_loss_draws_only_from_the_generator(scheduler):
    images, labels = torch.rand(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)
    before = torch.random.get_rng_state()
    losses = [
        diffusion.training_loss(Silent(), scheduler, images, labels, torch.Generator().manual_seed(seed), 5.0)
        for seed in (1, 1, 2)
    ]
    assert torch.equal(losses[0], losses[1])
    assert not torch.equal(losses[0], losses[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_snr_weights_are_the_paper_s(scheduler):
    timesteps = torch.tensor([0, 30, 50, 99])
    found = prediction.snr_weights(scheduler, timesteps, 5.0).tolist()
    for timestep, weight in zip(timesteps.tolist(), found, strict=True):
        # The cosine schedule's own formula (arXiv 2102.09672): abar_t = prod (1 - beta_i), beta_i cut at 0.999.
        abar = 1.0
        for i in range(timestep + 1):
            a, b = (math.cos((x / 100 + 0.008) / 1.008 * math.pi / 2) ** 2 for x in (i, i + 1))
            abar *= 1 - min(1 - b / a, 0.999)
        snr = abar / (1 - abar)
        assert weight == pytest.approx(min(snr, 5.0) / snr, rel=1e-3)


def test_ddim_ends_at_the_image_that_the_model_knows(scheduler):
    clean = torch.rand(2, 3, 8, 8) * 2 - 1
    latents = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(6) % 2
    found = sampling.sample_ddim(Knowing(scheduler, clean), scheduler, latents, labels, n_steps=5)
    assert torch.allclose(found, clean[labels], atol=1e-4)


def test_ddim_guidance_moves_from_the_unlabelled_to_the_labelled_noise(scheduler):
    clean = torch.stack([torch.full((3, 8, 8), value) for value in (0.2, 0.0)])  # label 0, and label 1: no label
    latents = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(4, dtype=torch.long)
    found = sampling.sample_ddim(
        Knowing(scheduler, clean), scheduler, latents, labels, n_steps=5, guidance=3.0, null_label=1
    )
    # Noise is linear in the clean image: guidance w acts as knowing 0 + w (0.2 - 0) = 0.6.
    assert torch.allclose(found, torch.full_like(found, 0.6), atol=1e-4)


@pytest.mark.parametrize("kind", prediction.KINDS)
def test_ddim_gives_the_images_of_diffusers_pipeline(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=8, block_out_channels=(8, 8), norm_num_groups=4, layers_per_block=1,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=4,
        ).eval()  # fmt: skip
    scheduler = DDPMScheduler(num_train_timesteps=50, prediction_type=kind)
    pipeline = DDIMPipeline(unet=unet, scheduler=DDIMScheduler.from_config(scheduler.config))
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        batch_size=3, generator=torch.Generator().manual_seed(5), num_inference_steps=7, output_type="np"
    ).images
    latents = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        ours = sampling.sample_ddim(
            lambda images, timesteps, labels: unet(images, timesteps).sample,  # noqa: ARG005 - as a U-Net is called
            scheduler, latents, torch.zeros(3, dtype=torch.long), n_steps=7,
        )  # fmt: skip
    assert torch.allclose((ours / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1), torch.from_numpy(theirs), atol=1e-5)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers hands tensors to numpy
@pytest.mark.parametrize(("kind", "spacing"), [("epsilon", "leading"), ("v_prediction", "trailing")])
def test_second_order_is_diffusers_dpm_solver_multistep(kind, spacing):
    scheduler = DDPMScheduler(1000, prediction_type=kind, timestep_spacing=spacing, clip_sample=False)
    latents = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(2, dtype=torch.long)

    def predict(images, timesteps, labels):  # noqa: ARG001 - as a U-Net is called
        return torch.tanh(images * (1 + timesteps[0] / 1000))

    timesteps = sampling.ddim_timesteps(scheduler, 8)
    solver, theirs = DPMSolverMultistepScheduler.from_config(scheduler.config), latents
    solver.set_timesteps(8)
    solver.timesteps = torch.tensor(timesteps)  # with `leading` its own list is another one
    abar = scheduler.alphas_cumprod[timesteps]
    solver.sigmas = torch.cat([((1 - abar) / abar).sqrt(), torch.zeros(1)])
    for timestep in timesteps:
        theirs = solver.step(predict(theirs, torch.full((2,), timestep), None), timestep, theirs).prev_sample
    ours, plain = (
        sampling.sample_ddim(predict, scheduler, latents, labels, n_steps=8, second_order=second)
        for second in (True, False)
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    assert (plain - theirs).abs().max() > 0.1


def test_second_order_errs_less_than_first_order_of_twice_the_steps():
    scheduler = DDPMScheduler(
        1000, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing", clip_sample=False
    )  # fmt: skip
    latents = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(2, dtype=torch.long)

    def predict(images, timesteps, labels):  # noqa: ARG001 - as a U-Net is called
        alpha = scheduler.alphas_cumprod[timesteps][:, None, None, None]
        return (1 - alpha).sqrt() * images / (alpha * 0.25 + 1 - alpha)  # exact for pixels from N(0, 0.5^2)

    # by hand: the flow keeps a pixel at so many deviations; where it begins, that is sqrt(abar / 4 + 1 - abar) = 1
    exact = 0.5 * latents
    first, second = (
        (sampling.sample_ddim(predict, scheduler, latents, labels, n_steps=n, second_order=two) - exact).abs().mean()
        for n, two in ((20, False), (10, True))
    )
    assert second < first


# --- the sampler's list of timesteps ---------------------------------------------------------------------------------

MEAN, DEVIATION = 0.2, 0.1


def gaussian(scheduler):
    """The exact noise of pixels from N(0.2, 0.1^2)."""

    def predict(images, timesteps, labels):  # noqa: ARG001 - as a U-Net is called
        alpha = scheduler.alphas_cumprod[timesteps][:, None, None, None]
        return (1 - alpha).sqrt() * (images - alpha.sqrt() * MEAN) / (alpha * DEVIATION**2 + 1 - alpha)

    return predict


@pytest.mark.parametrize(("spacing", "n_steps"), [("linspace", 7), ("linspace", 50), ("trailing", 7), ("leading", 10)])
def test_ddim_follows_its_own_list_of_timesteps(spacing, n_steps):
    scheduler = DDPMScheduler(1000, timestep_spacing=spacing)
    timesteps = sampling.ddim_timesteps(scheduler, n_steps)
    latents = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    found = sampling.sample_ddim(
        gaussian(scheduler), scheduler, latents, torch.zeros(2, dtype=torch.long), n_steps=n_steps
    )
    wanted = latents.double()
    alphas = [float(scheduler.alphas_cumprod[timestep]) for timestep in timesteps] + [1.0]
    for now, then in pairwise(alphas):
        noise = math.sqrt(1 - now) * (wanted - math.sqrt(now) * MEAN) / (now * DEVIATION**2 + 1 - now)
        clean = ((wanted - math.sqrt(1 - now) * noise) / math.sqrt(now)).clamp(-1, 1)
        wanted = math.sqrt(then) * clean + math.sqrt(1 - then) * noise
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps_offset", [0, 1])
@pytest.mark.parametrize("kind", prediction.KINDS)
def test_ddim_with_leading_spacing_has_diffusers_bits(scheduler, steps_offset, kind):
    scheduler = DDPMScheduler.from_config(scheduler.config, steps_offset=steps_offset, prediction_type=kind)
    latents = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    predict = gaussian(scheduler)
    found = sampling.sample_ddim(predict, scheduler, latents, torch.zeros(2, dtype=torch.long), n_steps=10)
    ddim, theirs = DDIMScheduler.from_config(scheduler.config), latents
    ddim.set_timesteps(10)
    for timestep in ddim.timesteps.tolist():
        theirs = ddim.step(predict(theirs, torch.full((2,), timestep), None), timestep, theirs).prev_sample
    assert torch.equal(found, theirs)


@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_ddim_can_begin_where_nothing_of_the_image_is_left_unless_noise_is_predicted(kind):
    scheduler = DDPMScheduler(
        num_train_timesteps=100,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        prediction_type=kind,
        clip_sample=False,
    )
    assert sampling.ddim_timesteps(scheduler, 10)[0] == 99
    latents = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    known = torch.full((3, 4, 4), MEAN)

    def predict(images, timesteps, labels):  # noqa: ARG001 - as a U-Net is called
        abar = scheduler.alphas_cumprod[timesteps][:, None, None, None]
        velocity = (abar.sqrt() * images - known) / (1 - abar).sqrt()
        return known.expand_as(images) if kind == "sample" else velocity

    found = sampling.sample_ddim(predict, scheduler, latents, torch.zeros(2, dtype=torch.long), n_steps=10)
    assert torch.allclose(found, known.expand_as(found), atol=1e-5)


# --- what is predicted -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", prediction.KINDS)
def test_target_comes_to_its_noise_and_its_image(kind):
    scheduler = DDPMScheduler(num_train_timesteps=100, prediction_type=kind, clip_sample=False)
    draw = torch.Generator().manual_seed(2)
    images, noise = (torch.randn(4, 3, 8, 8, generator=draw) for _ in range(2))
    timesteps = torch.tensor([1, 40, 80, 99])
    noised = diffusion.noised(scheduler, images, noise, timesteps)
    wanted = prediction.target(scheduler, images, noise, timesteps)
    abar = scheduler.alphas_cumprod[timesteps][:, None, None, None]
    torch.testing.assert_close(prediction.noise_of(scheduler, wanted, noised, abar), noise, rtol=0, atol=1e-3)
    torch.testing.assert_close(prediction.image_of(scheduler, wanted, noised, abar), images, rtol=0, atol=1e-3)
    # diffusers' own step says which image it takes the prediction for.
    for i, timestep in enumerate(timesteps.tolist()):
        step = scheduler.step(wanted[i : i + 1], timestep, noised[i : i + 1], generator=draw)
        torch.testing.assert_close(step.pred_original_sample[0], images[i], rtol=0, atol=1e-3)


@pytest.mark.parametrize("kind", prediction.KINDS)
def test_losses_and_noise_errors_of_a_prediction_that_is_off_by_a_tenth(kind):
    scheduler = DDPMScheduler(num_train_timesteps=100, prediction_type=kind)
    images, labels = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(4)), torch.arange(5)
    noising = diffusion.drawn_noising(scheduler, images, labels, torch.Generator().manual_seed(3))
    wanted = prediction.target(scheduler, images, noising.noise, noising.timesteps)

    def predict(seen, timesteps, labels):  # noqa: ARG001 - as a U-Net is called
        return wanted + 0.1

    (loss,) = diffusion.training_losses(predict, scheduler, [noising])
    assert float(loss) == pytest.approx(0.01, rel=1e-4)
    abar = scheduler.alphas_cumprod[noising.timesteps]
    snr = abar / (1 - abar)
    (weighted,) = diffusion.training_losses(predict, scheduler, [noising], 5.0)
    over = {"epsilon": snr, "sample": torch.ones(5), "v_prediction": snr + 1}[kind]
    assert float(weighted) == pytest.approx(float((0.01 * snr.clamp(max=5.0) / over).mean()), rel=1e-4)
    errors = diffusion.noise_errors(predict, scheduler, images, labels, noising.timesteps, noising.noise)
    scale = {"epsilon": torch.ones(5), "sample": snr, "v_prediction": abar}[kind]  # of the noise's error to its own
    torch.testing.assert_close(errors, 0.01 * scale, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "n_steps", "what"),
    [
        ({}, 501, "begins at timestep 500 and leaves the 499 noisier ones out"),
        ({}, 1, "begins at timestep 0 and leaves the 999"),
        ({}, 1001, "1001 steps cannot follow"),
        ({"steps_offset": 1}, 1000, "goes from timestep 1000 to 1 in 1000 steps, and the schedule has 0 to 999"),
        ({"timestep_spacing": "linspace", "rescale_betas_zero_snr": True}, 10, "leaves nothing of an image"),
        ({"timestep_spacing": "sideways"}, 10, "sideways"),
        ({"beta_schedule": "sigmoid"}, 10, "sigmoid"),
    ],
)
def test_ddim_refuses_lists_that_do_not_fit_the_schedule(config, n_steps, what):
    with pytest.raises(DataError, match=what):
        sampling.ddim_timesteps(DDPMScheduler(1000, **config), n_steps)


def test_training_loss_is_finite_where_nothing_of_the_image_is_left():
    scheduler = DDPMScheduler(100, rescale_betas_zero_snr=True)
    assert float(scheduler.alphas_cumprod[-1]) == 0
    assert prediction.snr_weights(scheduler, torch.tensor([98, 99]), 5.0).tolist() == [1.0, 1.0]
