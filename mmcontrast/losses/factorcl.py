"""The FactorCL objective: bounds on shared and on unique task-relevant information."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from ..nn.critics import build_critic
from ..nn.heads import ParallelHeads
from ..nn.multimodal import PooledEncoder, View
from ._common import full_precision, rows_with, zero_loss
from .comm import embedding_std
from .mutual_information import info_nce, nce_club


class _Term(NamedTuple):
    """What a term compares: outputs of one head, with a condition, or one modality with its own."""

    head: int
    conditional: bool = False
    modality: int | None = None


_TERMS = {
    "nce_shared": _Term(0),
    "club_shared": _Term(1, conditional=True),
    "first": _Term(2, modality=0),
    "second": _Term(2, modality=1),
    "club_unique": _Term(3),
    "nce_unique": _Term(4, conditional=True),
}
_N_HEADS = 5
_SHARED, _UNIQUE = slice(0, 2), slice(2, 5)
_CLUBS = ("club_shared", "club_unique")
# outputs of the heads of both modalities, or conditions on them: (n_heads, n_rows, dim) each
_Pair = tuple[Tensor, Tensor]


class FactorCLObjective(nn.Module):
    r"""Encoders, heads, critics and loss of FactorCL for two modalities.

    .. math:: L = -\mathrm{NCE}(X_1; X_2) + \mathrm{CLUB}(X_1; X_2 | C)
                  - \mathrm{NCE}(X_1; C_1) - \mathrm{NCE}(X_2; C_2)
                  + \mathrm{CLUB}(X_1; X_2) - \mathrm{NCE}(X_1; X_2 | C)

    where the condition :math:`C` is an augmentation :math:`(X_1', X_2')` or, supervised, the label
    :math:`Y` for both, and CLUB is :func:`nce_club`. The first two terms are a lower bound of the
    shared information that matters, the others one of the unique information. Each term has a head
    per modality and a critic of its own; a condition is concatenated to the heads' outputs.

    The critics of the CLUB terms are trained by InfoNCE, in :meth:`critic_loss`, which changes
    nothing else; the loss itself does not change them.

    Parameters
    ----------
    encoder : PooledEncoder
        Of two modalities.
    n_classes : int or None, default=None
        Classes, if the condition is the label of a classification, which is one-hot coded.
    n_targets : int or None, default=None
        Targets, if the condition is that of a regression. Neither: it is an augmentation.
    head_dim : int or None, default=None
        Size of a head's output; None is that of the embedding.
    critic : str or callable, default="concat"
        See :func:`~mmcontrast.nn.build_critic`.
    critic_dims : sequence of int, default=(512,)
        Hidden layers of the critics.
    n_conditional_pairs : int, default=1
        Augmented pairs per row, over which the terms with a condition are averaged.
    n_critic_steps : int, default=1
        Steps on the critics after each step on the loss.
    factorized : bool, default=True
        Whether the representation is made of the heads' outputs or of the embeddings.

    References
    ----------
    Liang, Deng, Ma, Zou, Morency and Salakhutdinov. "Factorized contrastive learning: going beyond
    multi-view redundancy", NeurIPS 2023, equations 94-100 and algorithm 3.

    Examples
    --------
    >>> import torch
    >>> from mmcontrast.losses import FactorCLObjective
    >>> from mmcontrast.nn import View, build_pooled_encoder
    >>> encoder = build_pooled_encoder({"eeg": (10,), "fnirs": (6,)}, embed_dim=16)
    >>> objective = FactorCLObjective(encoder)
    >>> view, augmented = (
    ...     View({"eeg": torch.randn(8, 10), "fnirs": torch.randn(8, 6)}) for _ in range(2)
    ... )
    >>> list(objective([augmented], view))  # doctest: +NORMALIZE_WHITESPACE
    ['loss', 'nce_shared', 'club_shared', 'modality_eeg', 'modality_fnirs', 'club_unique',
     'nce_unique', 'embedding_std']
    """

    def __init__(
        self,
        encoder: PooledEncoder,
        *,
        n_classes: int | None = None,
        n_targets: int | None = None,
        head_dim: int | None = None,
        critic: str | Callable[..., nn.Module] = "concat",
        critic_dims: Sequence[int] = (512,),
        n_conditional_pairs: int = 1,
        n_critic_steps: int = 1,
        factorized: bool = True,
    ) -> None:
        super().__init__()
        if len(encoder.names) != 2:
            raise ValueError(
                f"FactorCL takes exactly two modalities, found {len(encoder.names)}: "
                f"{', '.join(map(repr, encoder.names))}."
            )
        self.encoder = encoder
        self.n_classes = n_classes
        n_columns = n_classes or n_targets
        self.n_critic_steps = n_critic_steps
        self.factorized = factorized
        #: Number of augmented views that a call takes.
        self.n_views = 0 if n_columns else n_conditional_pairs
        #: Whether the objective wants the un-augmented view.
        self.needs_original = True
        size = self.head_dim = head_dim or encoder.embed_dim
        self.heads = nn.ModuleList(
            ParallelHeads(encoder.embed_dim, _N_HEADS, hidden_dim=encoder.embed_dim, out_dim=size)
            for _ in encoder.names
        )
        condition = n_columns or size
        self.critics = nn.ModuleDict()
        for name, term in _TERMS.items():
            x_dim = size + condition * term.conditional
            y_dim = x_dim if term.modality is None else condition
            self.critics[name] = build_critic(critic, x_dim, y_dim, hidden_dims=critic_dims)

    @property
    def parts(self) -> dict[str, tuple[str, int]]:
        """Modality and number of columns of each part of the representation."""
        first, second = self.encoder.names
        if not self.factorized:
            return {name: (name, self.encoder.embed_dim) for name in (first, second)}
        shared, unique = 2 * self.head_dim, 3 * self.head_dim
        return {
            "shared1": (first, shared),
            "shared2": (second, shared),
            "unique1": (first, unique),
            "unique2": (second, unique),
        }

    @property
    def term_names(self) -> list[str]:
        """Names of the values that a call returns."""
        return ["loss", *map(self._name, _TERMS), "embedding_std"]

    def _name(self, term: str) -> str:
        modality = _TERMS[term].modality
        return term if modality is None else f"modality_{self.encoder.names[modality]}"

    def encode(self, view: View) -> dict[str, Tensor]:
        """Parts of the representation that the modalities of a view make.

        Parameters
        ----------
        view : View
            One or both modalities.

        Returns
        -------
        dict of str to Tensor of shape (n_rows, n_columns)
        """
        embedded = self.encoder(view)
        if not self.factorized:
            return embedded
        encoded = {}
        for number, (name, heads) in enumerate(zip(self.encoder.names, self.heads, strict=True), 1):
            if name in embedded:
                outputs = heads(embedded[name])
                encoded[f"shared{number}"] = _side_by_side(outputs[_SHARED])
                encoded[f"unique{number}"] = _side_by_side(outputs[_UNIQUE])
        return {part: encoded[part] for part in self.parts if part in encoded}

    def forward(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Compute the loss of a batch.

        Parameters
        ----------
        views : sequence of View
            Augmentations of the same rows; none if supervised.
        original : View
            The un-augmented rows.
        y : Tensor of shape (n_rows,) or (n_rows, n_targets), optional
            Class codes, or standardised targets.

        Returns
        -------
        dict of str to Tensor
            The total under "loss" and its detached terms under the names of :attr:`term_names`;
            those of NCE with their minus. NaN for a term with fewer than two rows in the batch.
        """
        original = _required(original)
        embedded, outputs, conditions = self._outputs(views, original, y)
        with torch.autocast(embedded[0].device.type, enabled=False):
            terms = {
                self._name(name): self._term(name, outputs, conditions, original) for name in _TERMS
            }
            known = [term for term in terms.values() if term is not None]
            loss = torch.stack(known).sum() if known else zero_loss(self)
        nan = loss.new_full((), torch.nan)
        spread = torch.stack([embedding_std(z.detach()) for z in embedded])
        return {
            "loss": loss,
            **{name: nan if term is None else term.detach() for name, term in terms.items()},
            "embedding_std": spread.mean(),
        }

    def critic_loss(
        self, views: Sequence[View], original: View | None = None, y: Tensor | None = None
    ) -> Tensor:
        """Negative InfoNCE of the critics of the CLUB terms; encoders and heads are held fixed.

        Parameters
        ----------
        views, original, y
            As for the objective itself.

        Returns
        -------
        Tensor
            The sum over the two critics, a scalar.
        """
        original = _required(original)
        with torch.no_grad():
            _, outputs, conditions = self._outputs(views, original, y)
        with torch.autocast(outputs[0].device.type, enabled=False):
            losses = [
                self._term(name, outputs, conditions, original, fit_critic=True) for name in _CLUBS
            ]
        known = [loss for loss in losses if loss is not None]
        if known:
            return torch.stack(known).sum()
        # a gradient of zero would still let an optimiser's momentum move what has one
        return zero_loss(nn.ModuleList(self.critics[name] for name in _CLUBS))

    def _outputs(
        self, views: Sequence[View], original: View, y: Tensor | None
    ) -> tuple[list[Tensor], _Pair, list[_Pair]]:
        """Embeddings, outputs of the heads, and the conditions."""
        embedded, outputs = self._embed(original)
        if self.n_views:
            return embedded, outputs, [self._embed(view)[1] for view in views]
        if y is None:
            raise ValueError("A supervised FactorCLObjective needs the targets y.")
        columns = y if self.n_classes is None else F.one_hot(y, self.n_classes)
        columns = columns.to(outputs[0].dtype).expand(_N_HEADS, *columns.shape)
        return embedded, outputs, [(columns, columns)]

    def _embed(self, view: View) -> tuple[list[Tensor], _Pair]:
        embedded = list(self.encoder(view).values())
        first, second = (heads(z) for heads, z in zip(self.heads, embedded, strict=True))
        return embedded, (full_precision(first), full_precision(second))

    def _term(
        self,
        name: str,
        outputs: _Pair,
        conditions: list[_Pair],
        view: View,
        *,
        fit_critic: bool = False,
    ) -> Tensor | None:
        """A term of the loss, or what its critic is fitted by; None with fewer than two rows."""
        term = _TERMS[name]
        names = self.encoder.names
        rows = rows_with(view, names if term.modality is None else (names[term.modality],))
        if rows is not None and rows.sum() < 2:
            return None
        is_club = name in _CLUBS and not fit_critic
        uses_condition = term.conditional or term.modality is not None
        values = []
        for condition in conditions if uses_condition else conditions[:1]:
            x, other = _inputs(term, outputs, condition)
            if rows is not None:
                x, other = x[rows], other[rows]
            scores = self._score(name, x, other, constant=is_club)
            values.append(nce_club(scores) if is_club else -info_nce(scores))
        return torch.stack(values).mean()

    def _score(self, name: str, x: Tensor, other: Tensor, *, constant: bool) -> Tensor:
        """Scores of a term's critic, which may be held constant."""
        critic = self.critics[name]
        if constant:
            weights = {key: value.detach() for key, value in critic.named_parameters()}
            return functional_call(critic, weights, (x, other))
        if self.n_classes and _TERMS[name].modality is not None:
            # rows of a class have the same one-hot label: it is scored once
            classes = torch.eye(other.shape[1], dtype=x.dtype, device=x.device)
            return critic(x, classes)[:, other.argmax(1)]
        return critic(x, other)


def _required(original: View | None) -> View:
    if original is None:
        raise ValueError("FactorCLObjective needs the un-augmented view.")
    return original


def _inputs(term: _Term, outputs: _Pair, condition: _Pair) -> _Pair:
    """What the critic of a term is given for each row."""
    own = [part[term.head] for part in outputs]
    if term.modality is not None:
        return own[term.modality], condition[term.modality][term.head]
    if not term.conditional:
        return own[0], own[1]
    first, second = (
        torch.cat([part, given[term.head]], dim=1)
        for part, given in zip(own, condition, strict=True)
    )
    return first, second


def _side_by_side(outputs: Tensor) -> Tensor:
    """Outputs of several heads (n_heads, n_rows, dim) as columns (n_rows, n_heads * dim)."""
    return outputs.transpose(0, 1).flatten(1)
