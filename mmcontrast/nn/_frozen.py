"""Modules that are used and never trained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["Frozen", "freeze", "is_frozen", "unwrap"]


class Frozen(nn.Module):
    """A pretrained module that is used and never trained.

    Its parameters need no gradient, it stays in evaluation mode (running statistics included) and
    no graph is recorded through it.

    Parameters
    ----------
    module : nn.Module
        Module to freeze; it is frozen in place.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import Frozen
    >>> frozen = Frozen(torch.nn.Linear(3, 2)).train()
    >>> frozen.training, frozen(torch.zeros(1, 3)).requires_grad
    (False, False)
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = freeze(module)
        super().train(False)

    def train(self, mode: bool = True) -> Frozen:
        """Stay in evaluation mode.

        Parameters
        ----------
        mode : bool, default=True
            Ignored.

        Returns
        -------
        Frozen
            This module.
        """
        return super().train(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module without recording a graph.

        Parameters
        ----------
        *args, **kwargs : object
            Arguments of the module.

        Returns
        -------
        object
            What the module returns.
        """
        with torch.no_grad():
            return self.module(*args, **kwargs)


def freeze(module: nn.Module) -> nn.Module:
    """Freeze a module in place.

    Parameters
    ----------
    module : nn.Module
        Module whose parameters shall need no gradient; it is put in evaluation mode.

    Returns
    -------
    nn.Module
        The same module.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import freeze, is_frozen
    >>> is_frozen(freeze(torch.nn.Linear(3, 2)))
    True
    """
    return module.requires_grad_(False).eval()


def is_frozen(module: nn.Module) -> bool:
    """Whether a module has parameters and none of them needs a gradient.

    Parameters
    ----------
    module : nn.Module
        Any module.

    Returns
    -------
    bool
        False for a module without parameters: there is nothing to freeze.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.nn import is_frozen
    >>> is_frozen(torch.nn.Linear(3, 2)), is_frozen(torch.nn.Flatten())
    (False, False)
    """
    flags = [parameter.requires_grad for parameter in module.parameters()]
    return bool(flags) and not any(flags)


def unwrap(module: nn.Module) -> nn.Module:
    """Return the module inside `Frozen` and torch.compile."""
    while True:
        if isinstance(module, Frozen):
            module = module.module
        elif isinstance(getattr(module, "_orig_mod", None), nn.Module):
            module = module._orig_mod  # type: ignore[assignment]
        else:
            return module
