"""Local folders of language models: what is not whole, not the model's own or not causal is refused at load."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from fedgen_bench_plugins.backbones.loading import load_backbone
from fedgen_bench_plugins.backbones.shipped import locate
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedTokenizerFast,
)

from fedgen_bench.base.errors import DataError
from fedgen_bench.contract.seeds import seeded_globals

SIZES = {"vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "max_position_embeddings": 64}


def save_tokenizer(folder, n_tokens=64, **special):
    vocabulary = {"<unk>": 0, "<eos>": 1} | {f"w{i}": i for i in range(2, n_tokens)}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {"eos_token": "<eos>", "unk_token": "<unk>"} | special
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A Llama with head and tokenizer, as `save_pretrained` writes it."""
    folder = tmp_path_factory.mktemp("models") / "llama"
    with seeded_globals(3):
        LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    """A copy to break."""
    return shutil.copytree(whole, tmp_path / "model")


def refuses(folder, message):
    with pytest.raises(DataError, match=message):
        load_backbone(str(folder))


def test_whole_folder_loads_in_any_spelling_and_draws_nothing(whole, monkeypatch):
    before = torch.get_rng_state()
    first = load_backbone(str(whole))
    assert torch.equal(before, torch.get_rng_state())
    monkeypatch.setenv("HOME", str(whole.parent))
    assert load_backbone("~/llama").sha256 == first.sha256


def test_model_without_its_head_is_refused_by_name(folder):
    with seeded_globals(3):
        LlamaModel(LlamaConfig(**SIZES, **HEADS)).save_pretrained(folder)
    refuses(folder, r"1 tensor\(s\) the file lacks \(`lm_head.weight`\)")


def test_tied_head_may_be_missing(folder):
    with seeded_globals(3):
        LlamaForCausalLM(LlamaConfig(**SIZES, **HEADS, tie_word_embeddings=True)).save_pretrained(folder)
    assert "lm_head.weight" not in load_file(folder / "model.safetensors")
    assert load_backbone(str(folder)).eos_id == 1


def test_tensors_that_the_model_does_not_know_are_refused_by_name(folder):
    tensors = load_file(folder / "model.safetensors")
    save_file({**tensors, "score.weight": torch.ones(2, 32)}, folder / "model.safetensors", metadata={"format": "pt"})
    refuses(folder, r"1 tensor\(s\) the model does not know \(`score.weight`\)")


def test_tensors_of_another_shape_are_refused_by_name(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 50, "num_hidden_layers": 1}))
    refuses(folder, r"9 tensor\(s\) the model does not know .* and 4 more\); 3 tensor\(s\) have another shape")


def test_folder_without_tokenizer_is_refused(folder):
    for one in folder.glob("*token*"):
        one.unlink()
    refuses(folder, r"holds no tokenizer\. Put the tokenizer")


def test_tokenizer_of_special_tokens_alone_is_refused(folder):
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "GPT2Tokenizer"}))
    refuses(folder, r"knows 1 tokens, all of them special")
    save_tokenizer(folder, n_tokens=2)
    refuses(folder, r"knows 2 tokens, all of them special")


def test_tokenizer_larger_than_the_embedding_is_refused_with_the_numbers(folder):
    save_tokenizer(folder, n_tokens=70)
    refuses(folder, r"tokens up to number 69; the embedding has 64 rows")


def test_missing_end_of_sequence_is_told_at_load(folder):
    save_tokenizer(folder, eos_token=None)
    refuses(folder, r"no end-of-sequence token, .* Add `eos_token`")


def test_masked_model_sees_the_answer(folder):
    with seeded_globals(3):
        BertForMaskedLM(BertConfig(**SIZES, **HEADS)).save_pretrained(folder)
    refuses(folder, r"sees the answer: another last token changes the logits before it by up to 0\.0\d+\. Use a causal")


def test_weights_of_nan_are_refused(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["lm_head.weight"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    refuses(folder, r"logits that are not finite")


def test_cut_off_weights_are_told_with_the_bytes(folder):
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    refuses(folder, rf"has {len(content) - 100} bytes where its header speaks of {len(content)}\. Copy it again")
    weights.write_bytes(content[:50])
    refuses(folder, r"is cut off at 50 bytes")
    weights.write_bytes(b"")
    refuses(folder, r"is cut off at 0 bytes")


@pytest.mark.parametrize("content", [b"PK\x03\x04" + bytes(100), (20).to_bytes(8, "little") + b"{" * 20, b"\xff" * 30])
def test_what_is_no_safetensors_is_told(folder, content):
    (folder / "model.safetensors").write_bytes(content)
    refuses(folder, r"is no safetensors file")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_pointers_are_told(folder, name):
    (folder / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    refuses(folder, rf"{name} is a Git LFS pointer of 64 bytes, not the file itself\. Fetch it with `git lfs pull`")


def test_pickled_weights_are_told(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refuses(folder, r"as `pytorch_model.bin`, a pickle, .* Save them as safetensors")


def test_missing_weights_shards_and_configs_are_told(folder):
    (folder / "model.safetensors").unlink()
    refuses(folder, r"holds no `model.safetensors`")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    refuses(folder, r"no file .*model-1.safetensors, which its folder's index names")
    (folder / "config.json").write_text("[")
    refuses(folder, r"config.json is no JSON object")
    (folder / "config.json").unlink()
    refuses(folder, r"holds no `config.json`")


def test_config_that_no_library_knows_is_one_sentence(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    refuses(folder, r"cannot be loaded \(.*nothing.*\)\. Give one of our names")


@pytest.mark.parametrize("name", ["./nowhere", "/no/where", "a/b/c", "~/nowhere", "~nobody/x", "", "../m"])
def test_path_without_a_folder_is_told_as_a_path(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(DataError, match=r"There is no folder `"):
        locate(name)


def test_file_for_a_folder_is_told(whole):
    with pytest.raises(DataError, match=r"is a file\. Give the folder"):
        locate(str(whole / "model.safetensors"))


def test_missing_relative_folder_is_told_beside_the_hubs_word(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=r"cannot be loaded \(there is no folder of this name, and "):
        load_backbone("models/nowhere")
