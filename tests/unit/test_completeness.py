"""A model is what its file holds: tensors that the file lacks, has over or has otherwise are refused by name."""

from __future__ import annotations

import pytest
import torch
from fedgen_bench_plugins.backbones.checkpoints import load_checkpoint, save_checkpoint
from fedgen_bench_plugins.backbones.completeness import check_complete, without_tied
from torch import nn

from fedgen_bench.base.errors import DataError


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(3, 2)
        self.head = nn.Linear(2, 3)
        self.head.weight = self.embedding.weight


def info(missing=(), unexpected=(), mismatched=()):
    return {"missing_keys": set(missing), "unexpected_keys": set(unexpected), "mismatched_keys": set(mismatched)}


def test_tied_tensors_may_be_missing_as_long_as_one_of_them_is_there():
    tied = Tied()
    assert without_tied(["head.weight"], tied) == set()
    assert without_tied(["head.weight", "embedding.weight"], tied) == {"head.weight", "embedding.weight"}
    check_complete("Model `m`", tied, info(missing=["head.weight"]))


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (info(missing=["head.bias"]), r"Model `m` is not .* 1 tensor\(s\) the file lacks \(`head.bias`\)\. "),
        (info(unexpected=["a", "b"]), r"2 tensor\(s\) the model does not know \(`a`, `b`\)\. "),
        (
            info(missing=["head.bias"], unexpected=["score"]),
            r"lacks \(`head.bias`\); 1 tensor\(s\) the model does not know \(`score`\)",
        ),
        (
            info(missing=["head.bias"], mismatched=[("head.bias", torch.Size([2]), torch.Size([3]))]),
            r": 1 tensor\(s\) have another shape in the file \(`head.bias`\)",
        ),
        (info(unexpected=[f"t{i}" for i in range(9)]), r"`t4` and 4 more"),
    ],
)
def test_what_is_missing_over_or_otherwise_is_named(found, message):
    with pytest.raises(DataError, match=message):
        check_complete("Model `m`", Tied(), found)


def test_checkpoint_of_another_model_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, nn.Linear(2, 3), [], {"step": 1})
    assert load_checkpoint(path, nn.Linear(2, 3), [])[0] == {"step": 1}
    with pytest.raises(DataError, match=rf"Checkpoint {path} is not .* the model does not know \(`bias`\)"):
        load_checkpoint(path, nn.Linear(2, 3, bias=False), [])
