"""Targets by role on every family of language models and on U-Nets: what adapters attach to, train, fold, refuse."""

from __future__ import annotations

import pytest
import torch
from families import FAMILIES, GROUND, tiny
from fedgen_bench_plugins.adapters.roles import ROLES, is_linear, layers_of
from fedgen_bench_plugins.backbones import grounds

from fedgen_bench import Update, stacked
from fedgen_bench.contract.params import make_params
from fedgen_bench.federation.parameters import dump_tensors, load_tensors
from fedgen_bench.testing.adapters import train

WITH_ATTENTION = [family for family in FAMILIES if family != "Mamba"]
EVERYTHING = {"rank": 2, "targets": ["all", "head"], "ranks": {"head": 1, "attention": 3}}


def outputs(module):
    with torch.inference_mode():
        return GROUND.outputs(module, GROUND.inputs())


def loss(module):
    with torch.inference_mode():
        return float(GROUND.loss(module, GROUND.inputs(), torch.Generator()))


@pytest.mark.parametrize("family", FAMILIES)
def test_roles_divide_the_linear_layers_of_every_family(family):
    module = tiny(family)
    role = {name: set(layers_of(module, name)) for name in ROLES}
    linear = {name for name, layer in module.named_modules() if is_linear(layer)}
    assert role["all"] | role["head"] == linear
    assert len(role["head"]) == 1
    assert not role["all"] & role["head"]
    assert role["attention"] | role["mlp"] <= role["all"]
    assert not role["attention"] & role["mlp"]
    assert role["queries"] | role["keys"] | role["values"] <= role["attention"]
    assert role["mlp_output"] <= role["mlp"]
    if family != "Mamba":
        assert [len(role[one]) for one in ("queries", "keys", "values")] == [2, 2, 2]  # one a block
        assert len(role["attention"] - role["queries"] - role["keys"] - role["values"]) == 2
        assert len(role["mlp_output"]) == (0 if family == "Mixtral" else 2)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lora", EVERYTHING),
        ("dora", {"rank": 2, "targets": ["all"]}),  # the head has a row of zeros, for padding, where it is tied
        ("ia3", {"inputs": ["all"]}),
    ],
    ids=["lora", "dora", "ia3"],
)
@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_adapters_by_role_learn_on_every_family(family, name, params, attach):
    plain = tiny(family)
    adapted = attach(name, plain, **params)
    assert torch.equal(outputs(plain), outputs(adapted.module))
    before, frozen = loss(adapted.module), {id(one) for one in adapted.module.parameters()}
    frozen -= {id(one) for one in adapted.trainable.values()}
    learned = train(adapted, GROUND, 1)
    assert loss(adapted.module) != before
    assert all(one.grad is None and not one.requires_grad for one in adapted.module.parameters() if id(one) in frozen)
    fresh = attach(name, plain, **params)
    load_tensors(fresh.trainable, learned)
    assert torch.equal(outputs(adapted.module), outputs(fresh.module))


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_update_of_every_layer_is_folded_and_a_tied_embedding_stays(family, attach):
    plain = tiny(family)
    adapted = attach("lora", plain, **EVERYTHING)
    start = dump_tensors(adapted.trainable)
    embedding = adapted.module.get_input_embeddings().weight
    was = embedding.detach().clone()
    learned = train(adapted, GROUND)
    ours = outputs(adapted.module)
    load_tensors(adapted.trainable, start)
    adapted.fold([stacked([Update(learned, 1)], adapted.low_rank)])
    torch.testing.assert_close(outputs(adapted.module), ours, rtol=1e-4, atol=1e-5)
    assert adapted.module.get_input_embeddings().weight is embedding
    assert torch.equal(embedding, was)
    adapted.fold([])
    assert torch.equal(outputs(adapted.module), outputs(plain))


@pytest.mark.parametrize("family", WITH_ATTENTION)
def test_ranks_by_role_reach_their_layers(family, attach):
    module = tiny(family)
    adapted = attach("lora", module, **EVERYTHING)
    ranks = {pair.module: pair.rank for pair in adapted.low_rank}
    attention, head = layers_of(module, "attention"), layers_of(module, "head")
    rest = ranks.keys() - {*attention, *head}
    assert ranks == dict.fromkeys(head, 1) | dict.fromkeys(attention, 3) | dict.fromkeys(rest, 2)
    assert {pair.scale for pair in adapted.low_rank} == {8.0}  # alpha / rank = 16 / 2, for every rank


def test_narrow_ranks_come_before_wide_ones_and_names_before_roles(attach):
    ranks = {"all": 1, "attention": 2, "values": 3, "up_proj": 4}
    adapted = attach("lora", tiny("Llama"), targets=["all"], ranks=ranks)
    last = {pair.module.rsplit(".", 1)[-1]: pair.rank for pair in adapted.low_rank}
    assert last == {
        "q_proj": 2, "k_proj": 2, "v_proj": 3, "o_proj": 2, "gate_proj": 1, "up_proj": 4, "down_proj": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("by_role", "by_name"),
    [
        ({"targets": ["queries", "values"]}, {"targets": ["c_attn"]}),
        ({}, {"targets": ["c_attn"]}),
        (
            {"targets": ["all", "head"], "ranks": {"head": 2}},
            {"targets": ["c_proj", "lm_head", "c_attn", "c_fc"], "ranks": {"lm_head": 2}},
        ),
    ],
)
def test_roles_begin_and_train_as_the_names_that_they_mean(by_role, by_name, attach):
    ground = grounds.LANGUAGE_MODEL
    one, other = (attach("lora", ground.load(), **params) for params in (by_role, by_name))
    assert [pair.module for pair in one.low_rank] == [pair.module for pair in other.low_rank]
    ours, theirs = train(one, ground), train(other, ground)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


@pytest.mark.parametrize("role", ["attention", "values", "mlp", "mlp_output", "all", "head"])
def test_many_layers_are_those_of_the_role_alone(role, attach):
    """From twenty names on, peft shortens them."""
    module = tiny("GPT-2", n_layer=24)
    layers = layers_of(module, role)
    assert [pair.module for pair in attach("lora", module, targets=[role]).low_rank] == layers
    if role != "head":
        inward = attach("ia3", module, outputs=[], inputs=[role]).trainable
        assert list(inward) == [f"{name}.ia3_l" for name in layers]
        assert {len(one) for one in inward.values()} == {1}  # of inputs


def test_clients_of_their_own_ranks_take_roles(attach):
    module = tiny("SmolLM2, Llama with a tied head")
    adapted = attach("mixed_lora", module, client_ranks=[1, 2], targets=["attention", "head"])
    assert {pair.module for pair in adapted.low_rank} == {
        name for role in ("attention", "head") for name in layers_of(module, role)
    }
    assert [{pair.rank for pair in adapted.ranks_of(client)} for client in (0, 1, 2)] == [{1}, {2}, {1}]


def test_a_name_of_the_backbone_is_a_name_whatever_role_is_called_so(attach):
    module = torch.nn.ModuleDict({"mlp": torch.nn.Linear(3, 3), "all": torch.nn.Linear(3, 3)})
    assert [pair.module for pair in attach("lora", module, targets=["mlp"]).low_rank] == ["mlp"]


class CrossAttentionDecoderLayer(torch.nn.Module):
    """A block that is called after its attention, which computes queries, keys, values and gates in one layer."""

    def __init__(self):
        super().__init__()
        self.attn = torch.nn.ModuleDict({"in_proj_qkvz": torch.nn.Linear(3, 12), "out_proj": torch.nn.Linear(3, 3)})
        self.feed_forward = torch.nn.ModuleDict(
            {
                "router": torch.nn.Linear(3, 2),
                "experts": torch.nn.ModuleList(
                    torch.nn.ModuleDict({"w1": torch.nn.Linear(3, 6), "w2": torch.nn.Linear(6, 3)}) for _ in range(2)
                ),
            }
        )


def test_block_called_after_its_attention_and_a_router_mislead_nobody():
    module = torch.nn.ModuleDict({"layers": torch.nn.ModuleList([CrossAttentionDecoderLayer()])})
    last = {role: [name.removeprefix("layers.0.") for name in layers_of(module, role)] for role in ROLES}
    assert last["attention"] == ["attn.in_proj_qkvz", "attn.out_proj"]
    assert last["queries"] == last["keys"] == last["values"] == ["attn.in_proj_qkvz"]
    assert last["mlp"] == [f"feed_forward.experts.{i}.{one}" for i in (0, 1) for one in ("w1", "w2")]
    assert last["mlp_output"] == ["feed_forward.experts.0.w2", "feed_forward.experts.1.w2"]
    assert set(last["all"]) == {*last["attention"], *last["mlp"], "feed_forward.router"}


def test_roles_of_a_unet():
    module = grounds.UNET.load()
    last = {
        role: sorted({name.split("transformer_blocks.0.")[-1] for name in layers_of(module, role)}) for role in ROLES
    }
    assert last["attention"] == [f"attn{i}.to_{one}" for i in (1, 2) for one in ("k", "out.0", "q", "v")]
    assert [last[role] for role in ("queries", "keys", "values")] == [
        [f"attn1.to_{one}", f"attn2.to_{one}"] for one in "qkv"
    ]
    assert (last["mlp"], last["mlp_output"], last["head"]) == (["ff.net.0.proj", "ff.net.2"], ["ff.net.2"], [])
    assert set(last["all"]) - {*last["attention"], *last["mlp"]} == {
        "unet.time_embedding.linear_1", "unet.time_embedding.linear_2",
        *(f"unet.{block}_blocks.0.resnets.{i}.time_emb_proj" for block, i in (("down", 0), ("up", 0), ("up", 1))),
    }  # fmt: skip


ROLES_OF_A_DECODER = "all, attention, queries, keys, values, mlp, mlp_output, head"


@pytest.mark.parametrize(
    ("family", "name", "params", "message", "there"),
    [
        (
            "Mixtral", "lora", {"targets": ["attention", "mlp"]}, "Role `mlp` means no layer of this backbone. It has",
            "k_proj, lm_head, o_proj, q_proj, v_proj; by role: all, attention, queries, keys, values, head",
        ),
        (
            "Mamba", "ia3", {}, "Role `keys` means no layer of this backbone. It has",
            "conv1d, dt_proj, in_proj, lm_head, out_proj, x_proj; by role: all, head",
        ),
        (
            "Llama", "dora", {"targets": ["c_attn"]}, "Target `c_attn` names no module of this backbone. It has",
            f"down_proj, gate_proj, k_proj, lm_head, o_proj, q_proj, up_proj, v_proj; by role: {ROLES_OF_A_DECODER}",
        ),
        (
            "Phi", "mixed_lora", {"targets": ["norm"]}, "Target `norm` names no module of this backbone. It has",
            f"dense, fc1, fc2, k_proj, lm_head, q_proj, v_proj; by role: {ROLES_OF_A_DECODER}",
        ),
        (
            "Bloom", "lora", {"targets": ["attention"], "ranks": {"attention": 1, "head": 2}},
            "ranks names `head`, which is not among the targets. These are", "dense, query_key_value",
        ),
        (
            "Bloom", "lora", {"targets": ["attention"], "ranks": {"dense_h_to_4h": 2}},
            "ranks names `dense_h_to_4h`, which is not among the targets. These are", "dense, query_key_value",
        ),
    ],
)  # fmt: skip
def test_what_matches_nothing_is_told_with_all_that_there_is(family, name, params, message, there, attach):
    with pytest.raises(ValueError, match=r"^(Role|Target|ranks)") as caught:
        attach(name, tiny(family), **params)
    assert str(caught.value) == f"{message}: {there}. Choose among them."


def test_ranks_beside_named_targets_are_refused_without_a_backbone(registry):
    spec = registry.get("adapter", "lora").spec.params
    assert "`c_fc`, which is not among the targets" in str(
        make_params(spec, {"targets": ["c_attn"], "ranks": {"c_fc": 2}})[1]
    )
    assert make_params(spec, {"targets": ["c_attn", "lm_head"], "ranks": {"head": 2}})[1] == []
