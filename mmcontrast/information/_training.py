"""Training of critics and conditionals with early stopping, on rows held in memory."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

# steps between looks at the validation rows: an epoch, within these limits
_LEAST_STEPS, _MOST_STEPS = 20, 100
_PATIENCE = 5
# a smaller fall of the loss, in nats, is none
_TOLERANCE = 2e-3
_LEARNING_RATES = (1.0, 0.1)

Data = tuple[Tensor, ...]
Loss = Callable[..., Tensor]


@dataclass(frozen=True)
class TrainingOptions:
    """How networks are trained: AdamW, and at most so many steps."""

    batch_size: int
    max_steps: int
    learning_rate: float
    weight_decay: float = 1e-4


def train(
    module: nn.Module,
    loss: Loss,
    fitted: Data,
    held_out: Data,
    options: TrainingOptions,
    generator: torch.Generator,
) -> bool:
    """Minimise a loss of batches until that of the validation rows stops falling.

    When it has not fallen for a while, training goes on from the best weights with a tenth of the
    learning rate, and ends when that does not help either.

    Parameters
    ----------
    module : Module
        Left with the best weights, in evaluation mode.
    loss : callable
        Called with the module and the tensors of a batch.
    fitted, held_out : tuple of Tensor
        Training rows and validation rows.
    options : TrainingOptions
        Batches, steps and learning rate.
    generator : torch.Generator
        Order of the rows.

    Returns
    -------
    bool
        Whether the loss of the validation rows had stopped falling when training ended.
    """
    size, left = options.batch_size, options.max_steps
    batches = _batches(len(fitted[0]), size, generator)
    every = min(max(len(fitted[0]) // size, _LEAST_STEPS), _MOST_STEPS)
    fixed = covering_batches(len(held_out[0]), size, generator)
    best, best_state = validate(module, loss, held_out, fixed), copy.deepcopy(module.state_dict())
    for factor in _LEARNING_RATES:
        module.load_state_dict(best_state)
        optimizer = torch.optim.AdamW(
            module.parameters(),
            lr=factor * options.learning_rate,
            weight_decay=options.weight_decay,
            fused=True,
        )
        waited = 0
        while waited < _PATIENCE and left:
            module.train()
            for _ in range(min(every, left)):
                rows = next(batches)
                optimizer.zero_grad()
                loss(module, *(x[rows] for x in fitted)).backward()
                optimizer.step()
            left -= min(every, left)
            found = validate(module, loss, held_out, fixed)
            waited = 0 if found < best - _TOLERANCE else waited + 1
            if found < best:
                best, best_state = found, copy.deepcopy(module.state_dict())
    module.load_state_dict(best_state)
    return left > 0 or waited >= _PATIENCE


@torch.no_grad()
def validate(module: nn.Module, loss: Loss, data: Data, batches: list[Tensor]) -> float:
    """Mean loss of batches in evaluation mode."""
    module.eval()
    return float(torch.stack([loss(module, *(x[rows] for x in data)) for rows in batches]).mean())


def covering_batches(n_rows: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Split rows at random into batches of one size; some rows are in two so that all fit."""
    order = torch.randperm(n_rows, generator=generator)
    n_batches = -(-n_rows // batch_size)
    return list(torch.cat([order, order])[: n_batches * batch_size].view(n_batches, batch_size))


def _batches(n_rows: int, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    while True:
        order = torch.randperm(n_rows, generator=generator)
        yield from order[: n_rows - n_rows % batch_size].view(-1, batch_size)
