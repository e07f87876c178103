import os
import pickle
import time

import pytest
import torch
from fedgen_bench_plugins.datasets import cifar10
from fedgen_bench_plugins.extractors import Extractor, load_extractor
from fedgen_bench_plugins.extractors.convnet import CifarNet
from fedgen_bench_plugins.extractors.fidelity import SHIPPED, CifarNetExtractor, cifarnet, inception
from safetensors.torch import load_file, save_file

from fedgen_bench.base.errors import DataError, UsageError
from fedgen_bench.base.files import sha256_of

CPU = torch.device("cpu")
MOST_BYTES = 3 * 1024**2


def no_file(name):
    raise DataError(f"{name} is nowhere.")


def random_pixels(n, size=32):
    return torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))


@pytest.fixture(scope="module")
def extractor():
    return load_extractor("cifarnet", no_file)


def test_cifarnet_ships_as_its_card_says(extractor):
    assert SHIPPED.stat().st_size <= MOST_BYTES
    assert {one.dtype for one in load_file(SHIPPED).values()} == {torch.float16}
    assert extractor.sha256 == sha256_of(SHIPPED)
    card = (SHIPPED.parent / "README.md").read_text()
    n_parameters = sum(one.numel() for one in CifarNet().parameters())
    # 3x3 convolutions 12-32-64, 2 of 64-64, 64-128, 2 of 128-128: 464,256; pairs of scale and shift: 1,216 numbers for
    # 32 + 64 + 128 + 128 + 256 channels; the last layer 128 x 10 + 10
    assert n_parameters == 464_256 + 1_216 + 1_290
    assert f"{n_parameters:,} parameters" in card
    assert extractor.sha256 in card


def test_features_are_those_of_the_batch_normalised_network(extractor):
    network = CifarNet().eval()
    network.load_state_dict({name: one.float() for name, one in load_file(SHIPPED).items()})
    pixels = random_pixels(5)
    found = extractor.features(pixels, CPU)
    with torch.no_grad():
        features, logits = network(pixels)
    assert found.features.shape == (5, 128)
    assert found.logits.shape == (5, 10)
    assert found.features.dtype == found.logits.dtype == torch.float32
    torch.testing.assert_close(found.features, features)
    torch.testing.assert_close(found.logits, logits)


def test_cifarnet_tells_the_classes_of_cifar10(extractor):
    assert extractor.classes == cifar10.CLASSES
    assert CifarNet().head.out_features == len(extractor.classes)


def test_features_of_an_image_do_not_depend_on_its_batch(extractor):
    pixels = random_pixels(150)
    together = extractor.features(pixels, CPU)
    assert torch.equal(together.features, extractor.features(pixels, CPU).features)
    alone = torch.cat([extractor.features(one, CPU).features for one in pixels.split(7)])
    torch.testing.assert_close(together.features, alone, rtol=0, atol=1e-4)


def test_features_are_fp32_under_the_caller_s_autocast(extractor):
    pixels = random_pixels(3)
    with torch.autocast("cpu", torch.bfloat16):
        found = extractor.features(pixels, CPU)
    assert torch.equal(found.features, extractor.features(pixels, CPU).features)


def test_images_of_another_size_are_resized(extractor):
    flat = random_pixels(4, size=1)
    small, large = (extractor.features(flat.expand(-1, -1, size, size), CPU) for size in (32, 48))
    torch.testing.assert_close(small.features, large.features, rtol=1e-4, atol=1e-4)


def test_every_part_of_the_network_learns():
    network = CifarNet()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):  # the first step opens the residual branches
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(random_pixels(16))[1], torch.arange(16) % 10).backward()
        optimizer.step()
    assert all(one.grad.abs().max() > 0 for one in network.parameters())


def test_load_extractor_unknown_name():
    with pytest.raises(UsageError, match="Did you mean `cifarnet`"):
        load_extractor("cifar-net", no_file)


def test_load_extractor_lets_missing_weights_through():
    with pytest.raises(DataError, match="nowhere"):
        load_extractor("inception-v3-compat", no_file)


def _without(tensors):
    return dict(list(tensors.items())[1:])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without, "1 tensors are missing, such as `body.last.first.0.weight`"),
        (lambda good: good | {"other": torch.zeros(1)}, "1 other tensors, such as `other`"),
        (lambda good: good | {"head.bias": torch.zeros(11)}, r"`head.bias` has shape \(11,\), not \(10,\)"),
        (lambda good: good | {"head.bias": torch.zeros(10, dtype=torch.int64)}, "no tensor of floating-point"),
        (lambda good: good | {"head.bias": torch.full((10,), torch.nan)}, "`head.bias` has values that are not finite"),
    ],
)
@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights_that_do_not_match_are_refused(tmp_path, spoil, words, suffix):
    good = dict(sorted(load_file(SHIPPED).items()))
    path = tmp_path / f"weights.{suffix}"
    save_file(spoil(good), path) if suffix == "safetensors" else torch.save(spoil(good), path)
    with pytest.raises(DataError, match=words):
        cifarnet(path)


def test_weights_may_be_a_state_dict_of_torch(tmp_path, extractor):
    torch.save(load_file(SHIPPED), tmp_path / "weights.pt")
    module = CifarNetExtractor("cifarnet", ["logits"], str(tmp_path / "weights.pt"))
    pixels = random_pixels(3)
    assert torch.equal(module(pixels)[0], extractor.features(pixels, CPU).logits)


@pytest.mark.parametrize("suffix", ["safetensors", "pt"])
def test_weights_that_are_no_tensors_are_refused(tmp_path, suffix):
    path = tmp_path / f"weights.{suffix}"
    path.write_bytes(os.urandom(64))
    with pytest.raises(DataError, match="cannot be read as weights of the extractor `cifarnet`"):
        cifarnet(path)


def test_weights_of_more_bytes_than_expected_are_not_read(tmp_path):
    path = tmp_path / "weights.safetensors"
    with path.open("wb") as handle:
        handle.truncate(1 << 34)
    began = time.monotonic()
    with pytest.raises(DataError, match="17179869184 bytes"):
        cifarnet(path)
    assert time.monotonic() - began < 5


class Malicious:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("how", ["pickle", "torch", "torch legacy", "among tensors"])
def test_a_pickle_that_runs_code_is_refused(tmp_path, how):
    proof, path = tmp_path / "was-run", tmp_path / "weights.pth"
    content = {"fc.bias": torch.zeros(2), "x": Malicious(proof)} if how == "among tensors" else Malicious(proof)
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how != "torch legacy")
    for load in (cifarnet, inception):
        with pytest.raises(DataError, match="cannot be read as weights"):
            load(path)
    assert not proof.exists()


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory):
    """Random weights of the right shapes, and the module that has them, in the format of 2020 with batch counters."""
    from torch_fidelity import FeatureExtractorInceptionV3

    class Fresh(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_):
            pass

    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({}, path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = Fresh("inception-v3-compat", ["2048", "logits_unbiased"], path)
    torch.save(fresh.state_dict(), path)
    return path, fresh


def test_inception_gives_torch_fidelity_s_features(inception_file):
    path, fresh = inception_file
    found = load_extractor("inception-v3-compat", lambda _: path)
    assert isinstance(found, Extractor)
    assert found.sha256 == sha256_of(path)
    pixels = random_pixels(2)
    features = found.features(pixels, CPU)
    with torch.no_grad():
        expected = fresh(pixels)
    assert features.features.shape == (2, 2048)
    assert features.logits.shape == (2, 1008)
    torch.testing.assert_close(features.features, expected[0])
    torch.testing.assert_close(features.logits, expected[1])


def test_inception_refuses_weights_of_another_network():
    with pytest.raises(DataError, match="does not hold the weights of the extractor `inception-v3-compat`"):
        inception(SHIPPED)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("x.pth", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("x.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("x.pth", b"not a pickle", "is cut off, or a pickle that could run"),
    ],
)
def test_weights_that_are_no_tensors_are_told(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=what):
        cifarnet(tmp_path / name)


def test_loading_an_extractor_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    load_extractor("cifarnet", dict)
    assert torch.equal(torch.random.get_rng_state(), before)
