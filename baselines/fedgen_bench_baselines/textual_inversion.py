"""Textual inversion: learned context tokens in place of words, the generator frozen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedgen_bench import Adapted, AdapterSpec, NoParams, SeedTree, hookimpl

if TYPE_CHECKING:
    from torch import nn


class TextualInversion:
    """Textual inversion (arXiv 2208.01618, equation 2): only the context tokens v of the labels are trained.

    v* = argmin_v E ||eps - eps_theta(x_t, t, c(v))||^2 with the U-Net's theta fixed. Trained is one tensor `context` of
    shape (n_classes + 1, n_tokens, width); its last row stands for no label.
    """

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def attach(self, module: nn.Module, seeds: SeedTree) -> Adapted:
        """Initial values are the backbone's own. Raises ValueError when it has no context tokens."""
        context = dict(module.named_parameters(recurse=False)).get("context")
        if context is None:
            raise ValueError("This backbone has no context tokens. Choose another adapter, or a U-Net with a context.")
        module.requires_grad_(requires_grad=False)
        context.requires_grad_()
        return Adapted(module, {"context": context})


@hookimpl
def register_adapters() -> list[AdapterSpec]:
    summary = "The context tokens of a conditional U-Net (arXiv 2208.01618)."
    return [AdapterSpec(name="textual_inversion", summary=summary, build=TextualInversion, backbones={"unet": {}})]
