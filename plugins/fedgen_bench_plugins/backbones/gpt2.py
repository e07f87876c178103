"""GPT-2's forward pass without what training never asks for: no cache, no mask but the causal one, no output classes.

The model's own layers compute it, in transformers' order: adapters stay on them, and every bit is the same.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from transformers.activations import NewGELUActivation
from transformers.modeling_outputs import CausalLMOutputWithCrossAttentions
from transformers.models.gpt2.modeling_gpt2 import GPT2MLP, GPT2Attention, GPT2Block, GPT2LMHeadModel, GPT2Model

_TOKEN_AXES = 2  # examples and positions
_SLOPE, _CUBIC = math.sqrt(2 / math.pi), 0.044715


def made_lean(module: nn.Module) -> bool:
    """Have a GPT-2 be a `LeanGPT2` where this gives the very logits that transformers gives; whether it does."""
    if type(module) is not GPT2LMHeadModel:
        return False
    plain: Any = module
    tokens = torch.arange(2 * min(5, plain.config.n_positions)).view(2, -1) % plain.config.vocab_size
    with torch.no_grad():
        expected = plain(input_ids=tokens).logits
        plain.__class__ = LeanGPT2
        if _is_plain(plain) and torch.equal(plain(input_ids=tokens).logits, expected):
            return True
    plain.__class__ = GPT2LMHeadModel
    return False


class LeanGPT2(GPT2LMHeadModel):  # type: ignore[misc] # transformers is untyped
    """GPT-2 that goes from tokens or embeddings to logits by the shortest way.

    It goes transformers' way when it is asked for anything else, or where a block, an attention or an MLP was exchanged
    or has hooks.
    """

    @functools.wraps(GPT2LMHeadModel.forward)
    def forward(self, input_ids: Any = None, *args: Any, inputs_embeds: Any = None, **asked: Any) -> Any:
        """Logits of shape (n, length, vocabulary), and nothing else unless it is asked for."""
        one_input = (input_ids is None) != (inputs_embeds is None) and (
            input_ids.ndim == _TOKEN_AXES if inputs_embeds is None else inputs_embeds.ndim == _TOKEN_AXES + 1
        )
        more = any(value is not None for value in args) or any(_is_more(name, value) for name, value in asked.items())
        if not one_input or more:
            return super().forward(input_ids, *args, inputs_embeds=inputs_embeds, **asked)
        if not _is_plain(self):
            return super().forward(input_ids, inputs_embeds=inputs_embeds)
        hidden = _hidden(self.transformer, self.transformer.wte(input_ids) if inputs_embeds is None else inputs_embeds)
        return CausalLMOutputWithCrossAttentions(logits=self.lm_head(hidden))

    def save_pretrained(self, *args: Any, **asked: Any) -> Any:
        """As transformers saves it, under the name that others know."""
        here: Any = self
        here.__class__ = GPT2LMHeadModel
        try:
            return here.save_pretrained(*args, **asked)
        finally:
            here.__class__ = LeanGPT2


def _is_more(name: str, value: Any) -> bool:
    """Whether an argument asks for more than logits, or for them in another form."""
    return value is not None and (value is not False or name == "return_dict")


def _is_plain(model: GPT2LMHeadModel) -> bool:
    config, body = model.config, model.transformer
    usual = config._attn_implementation == "sdpa" and config.return_dict  # noqa: SLF001
    return (
        usual
        and not (config.output_attentions or config.output_hidden_states)
        and not nn.modules.module._has_any_global_hook()  # noqa: SLF001
        and _untouched(body, GPT2Model)
        and all(
            _untouched(block, GPT2Block) and _untouched(block.attn, GPT2Attention) and _untouched(block.mlp, GPT2MLP)
            for block in body.h
        )
        and not body.gradient_checkpointing
    )


def _untouched(part: nn.Module, kind: type) -> bool:
    own = vars(part)
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return type(part) is kind and "forward" not in own and not any(own[name] for name in hooks)


def _hidden(body: GPT2Model, embedded: torch.Tensor) -> torch.Tensor:
    """States behind the last norm of `embedded`; both of shape (n, length, width)."""
    positions = torch.arange(embedded.shape[1], device=embedded.device)[None]
    states = body.drop(embedded + body.wpe(positions))
    for block in body.h:
        states = _attended(block.attn, block.ln_1(states)) + states
        states = states + _transformed(block.mlp, block.ln_2(states))
    normed: torch.Tensor = body.ln_f(states)
    return normed


def _attended(attention: GPT2Attention, states: torch.Tensor) -> torch.Tensor:
    heads = (*states.shape[:-1], -1, attention.head_dim)
    parts = attention.c_attn(states).split(attention.split_size, dim=2)
    query, key, value = (part.view(heads).transpose(1, 2) for part in parts)
    dropout = attention.attn_dropout.p if attention.training else 0.0
    if dropout:  # its kernel's bits go by layout without AVX-512; these are laid out as transformers does
        key, value = key.contiguous(), value.contiguous()
    mixed = scaled_dot_product_attention(
        query,
        key,
        value,
        dropout_p=dropout,
        is_causal=states.shape[1] > 1,
        scale=attention.scaling,
    )
    given: torch.Tensor = attention.resid_dropout(attention.c_proj(mixed.transpose(1, 2).flatten(2)))
    return given


def _transformed(mlp: GPT2MLP, states: torch.Tensor) -> torch.Tensor:
    inner = mlp.c_fc(states)
    ours = inner.dtype == torch.float32 and _untouched(mlp.act, NewGELUActivation)
    transformed = torch._C._are_functorch_transforms_active()  # noqa: SLF001 - torch.func.grad and its like
    gelu = NewGELU.apply if ours and not transformed else mlp.act
    given: torch.Tensor = mlp.dropout(mlp.c_proj(gelu(inner)))
    return given


class NewGELU(torch.autograd.Function):
    """`NewGELUActivation` in fp32, which keeps two tensors for its gradient instead of four and makes fewer on its way.

    0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); every product and sum, of the gradient too, in autograd's order.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        """As `x`, of any shape."""
        tanh = torch.pow(x, 3.0).mul_(_CUBIC).add_(x).mul_(_SLOPE).tanh_()
        ctx.save_for_backward(x, tanh)
        return (0.5 * x).mul_(tanh + 1.0)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> torch.Tensor:
        """The gradient of `x`."""
        (gradient,) = outer
        x, tanh = ctx.saved_tensors
        if torch.is_grad_enabled():  # whoever goes on to second derivatives needs how it hangs on x
            tanh = torch.tanh((torch.pow(x, 3.0) * _CUBIC + x) * _SLOPE)
        inner = torch.ops.aten.tanh_backward((0.5 * x).mul_(gradient), tanh).mul_(_SLOPE)
        cubic = torch.pow(x, 2.0).mul_(3.0).mul_(inner * _CUBIC)
        given: torch.Tensor = inner.add_(cubic).add_((tanh + 1.0).mul_(gradient).mul_(0.5))
        return given
