"""GPT-2's own forward pass gives what transformers gives, to the bit, with every adapter; elsewhere it stands aside."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from fedgen_bench_plugins.backbones.gpt2 import LeanGPT2, NewGELU, made_lean
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM
from transformers.activations import NewGELUActivation

from fedgen_bench.contract.params import make_params
from fedgen_bench.testing.adapters import SEEDS

TOKENS = torch.arange(2 * 11).view(2, 11) * 7 % 61
ADAPTERS = [
    ("full", {}),
    ("lora", {"targets": ["c_attn", "c_proj", "c_fc", "lm_head"]}),
    ("lora", {"dropout": 0.3}),
    ("mixed_lora", {}),
    ("dora", {}),
    ("ia3", {}),
    ("bitfit", {}),
    ("layernorm", {}),
    ("last_layer", {"n_blocks": 1}),
    ("prompt", {"n_tokens": 3}),
    ("prefix", {"n_tokens": 3}),
]


def model(**values):
    config = {"vocab_size": 61, "n_positions": 32, "n_embd": 32, "n_layer": 2, "n_head": 2, "bos_token_id": 0,
              "eos_token_id": 0, "resid_pdrop": 0.2, "embd_pdrop": 0.1, "attn_pdrop": 0.1} | values  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return GPT2LMHeadModel(GPT2Config(**config)).eval()


@pytest.fixture
def usual():
    return model()


@pytest.fixture
def lean(usual):
    made = copy.deepcopy(usual)
    assert made_lean(made)
    return made


@pytest.fixture
def counted(monkeypatch):
    """How often transformers' own way was gone."""
    calls, original = [], GPT2LMHeadModel.forward

    def forward(self, *args, **asked):
        calls.append(asked)
        return original(self, *args, **asked)

    monkeypatch.setattr(GPT2LMHeadModel, "forward", forward)
    return calls


def trained_step(adapted, *, training):
    """Logits and gradients, with what dropout draws from one seed."""
    adapted.module.train(training)
    for parameter in adapted.trainable.values():
        parameter.grad = None
    with torch.random.fork_rng():
        torch.manual_seed(9)
        with torch.no_grad():
            for parameter in adapted.trainable.values():  # LoRA's B begins at 0, which would hide the gradient of A
                parameter.add_(torch.randn(parameter.shape) * 0.02)
        logits = adapted.module(input_ids=TOKENS).logits
        logits[:, -TOKENS.shape[1] :].flatten(0, 1).logsumexp(dim=1).square().mean().backward()
    return logits.detach(), {name: parameter.grad for name, parameter in adapted.trainable.items()}


@pytest.mark.parametrize(("name", "values"), ADAPTERS)
@pytest.mark.parametrize("training", [True, False])
def test_logits_and_gradients_are_transformers_own_with_every_adapter(registry, usual, lean, name, values, training):
    spec = registry.get("adapter", name).spec
    params, problems = make_params(spec.params, values)
    assert problems == []
    theirs, ours = (spec.build(params).attach(module, SEEDS) for module in (usual, lean))
    expected, gradients = trained_step(theirs, training=training)
    logits, own = trained_step(ours, training=training)
    assert torch.equal(logits, expected)
    assert own.keys() == gradients.keys()
    assert all(gradients[name] is not None and torch.equal(own[name], gradients[name]) for name in own)


def test_new_gelu_is_transformers_own_to_the_bit():
    x = torch.randn(3, 700, generator=torch.Generator().manual_seed(2)) * 3
    outer = torch.randn(3, 700, generator=torch.Generator().manual_seed(3))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    (given, expected) = NewGELU.apply(ours), NewGELUActivation()(theirs)
    given.backward(outer)
    expected.backward(outer)
    assert torch.equal(given, expected)
    assert torch.equal(ours.grad, theirs.grad)


def second_derivative(module):
    weight = module.transformer.h[0].mlp.c_fc.weight
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = module(input_ids=TOKENS).logits.logsumexp(dim=-1).square().mean()
        (gradient,) = torch.autograd.grad(loss, weight, create_graph=True)
        return torch.autograd.grad(gradient.square().sum(), weight)[0]


def test_second_derivatives_are_transformers_own(lean, usual):
    assert torch.allclose(second_derivative(lean), second_derivative(usual), rtol=1e-4, atol=1e-7)


def test_functional_gradients_are_transformers_own(lean, usual):
    def gradient(module):
        values = {name: value.detach() for name, value in module.named_parameters()}
        return torch.func.grad(lambda own: torch.func.functional_call(module, own, (TOKENS,)).logits.sum())(values)

    ours, theirs = gradient(lean), gradient(usual)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_saved_model_has_the_name_that_others_know(lean, tmp_path):
    lean.save_pretrained(tmp_path)
    assert type(lean) is LeanGPT2
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["GPT2LMHeadModel"]


def test_arguments_by_position_and_other_shapes_go_the_usual_way(lean, usual):
    seen = torch.ones_like(TOKENS)
    seen[:, :3] = 0
    assert torch.equal(lean(TOKENS, None, seen).logits, usual(TOKENS, None, seen).logits)
    assert torch.equal(lean(TOKENS[None]).logits, usual(TOKENS[None]).logits)
    assert isinstance(lean(TOKENS, return_dict=False), tuple)


def test_tokens_alone_go_the_short_way(lean, counted):
    assert lean(input_ids=TOKENS).logits.shape == (2, 11, 61)
    assert lean(input_ids=TOKENS, attention_mask=None, use_cache=False).past_key_values is None
    assert counted == []


@pytest.mark.parametrize(
    "asked", [{"use_cache": True}, {"output_hidden_states": True}, {"labels": TOKENS}, {"attention_mask": TOKENS > 0}]
)
def test_anything_else_that_is_asked_for_goes_the_usual_way(lean, usual, counted, asked):
    given, expected = lean(input_ids=TOKENS, **asked), usual(input_ids=TOKENS, **asked)
    assert len(counted) == 2
    assert torch.equal(given.logits, expected.logits)
    assert (given.past_key_values is None) == (expected.past_key_values is None)
    assert (given.loss is None) == (expected.loss is None)


@pytest.mark.parametrize("part", ["transformer", "transformer.h.1", "transformer.h.0.attn", "transformer.h.0.mlp"])
def test_hooks_and_exchanged_forwards_are_heard(lean, counted, part):
    seen = []
    handle = lean.get_submodule(part).register_forward_hook(lambda *_: seen.append(part))
    lean(input_ids=TOKENS)
    assert seen == [part]
    handle.remove()
    lean.get_submodule(part).forward = lean.get_submodule(part).forward
    lean(input_ids=TOKENS)
    assert len(counted) == 2


def test_exchanged_block_is_called(lean, counted):
    class Other(type(lean.transformer.h[0])):
        pass

    lean.transformer.h[0].__class__ = Other
    lean(input_ids=TOKENS)
    assert len(counted) == 1


@pytest.mark.parametrize("values", [{"attn_implementation": "eager"}, {"output_hidden_states": True}])
def test_model_of_other_settings_stays_as_it_is(values):
    made = model(**values)
    assert not made_lean(made)
    assert type(made) is GPT2LMHeadModel


def test_other_scaling_and_activation_are_kept():
    made = model(scale_attn_by_inverse_layer_idx=True, activation_function="relu")
    expected = made(input_ids=TOKENS).logits
    assert made_lean(made)
    assert torch.equal(made(input_ids=TOKENS).logits, expected)


def test_another_architecture_stays_as_it_is():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = LlamaConfig(vocab_size=8, bos_token_id=0, eos_token_id=0, **sizes)
    assert not made_lean(LlamaForCausalLM(config))


def test_copies_stay_lean(lean):
    assert type(copy.deepcopy(lean)) is LeanGPT2
