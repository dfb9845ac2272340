"""Out-of-fold ridge regression of very many targets on the same rows."""

from collections.abc import Callable, Sequence

import numpy as np
from sklearn.preprocessing import StandardScaler

ALPHAS = (0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
# numbers of a block of targets: 64 MB
_BLOCK = 2**23


class RidgeFolds:
    """Ridge regressions of any targets on one part, each fold predicted from the others.

    Columns are standardised and the penalty is chosen by leave-one-out error in the training
    rows, which both come from one singular value decomposition per fold, whatever the number of
    targets: those of a permutation null cost a matrix product.

    Parameters
    ----------
    Z : ndarray of shape (n_rows, n_columns)
        The part.
    folds : sequence of (train, test)
        Rows of each fold.
    alphas : sequence of float
        Penalties to choose from.
    """

    def __init__(
        self,
        Z: np.ndarray,
        folds: Sequence[tuple[np.ndarray, np.ndarray]],
        alphas: Sequence[float] = ALPHAS,
    ) -> None:
        self.n_rows = len(Z)
        self.alphas = np.asarray(alphas, dtype=float)
        self.folds = [_Fold(Z, train, test, self.alphas) for train, test in folds]

    def predict(
        self,
        Y: np.ndarray,
        decide: Callable[[np.ndarray, np.ndarray], np.ndarray],
        joint: bool,
        n_found: int,
    ) -> np.ndarray:
        """Predict each fold from the others.

        Parameters
        ----------
        Y : ndarray of shape (n_rows, n_targets, n_columns)
            Targets.
        decide : callable
            Turns predictions (n_test, n_targets, n_columns) and training means into what is
            returned.
        joint : bool
            Whether the columns of a target have one penalty together, as indicators of classes
            do, or each its own.
        n_found : int
            Columns that `decide` returns.

        Returns
        -------
        ndarray of shape (n_rows, n_targets, n_found)
        """
        found = np.empty((self.n_rows, Y.shape[1], n_found))
        width = max(1, _BLOCK // (self.n_rows * Y.shape[2]))
        for start in range(0, Y.shape[1], width):
            block = slice(start, start + width)
            for fold in self.folds:
                predicted, mean = fold.predict(Y[:, block], joint)
                found[fold.test, block] = decide(predicted, mean)
        return found


class _Fold:
    """One decomposition of the training rows."""

    def __init__(
        self, Z: np.ndarray, train: np.ndarray, test: np.ndarray, alphas: np.ndarray
    ) -> None:
        self.train, self.test = train, test
        scaler = StandardScaler().fit(Z[train])
        self.U, s, Vt = np.linalg.svd(scaler.transform(Z[train]), full_matrices=False)
        self.rotated = scaler.transform(Z[test]) @ Vt.T
        power = s[:, None] ** 2
        self.shrinkage = power / (power + alphas)  # (rank, n_alphas), of the fitted values
        self.gain = s[:, None] / (power + alphas)
        # leave-one-out residuals are residuals over one minus the leverage; 1/n is the intercept's
        leverage = 1 / len(train) + self.U**2 @ self.shrinkage
        self.weights = 1 / np.maximum(1 - leverage, 1e-10) ** 2
        self.grams = [(self.U * w[:, None]).T @ self.U for w in self.weights.T]

    def predict(self, Y: np.ndarray, joint: bool) -> tuple[np.ndarray, np.ndarray]:
        Y = Y[self.train]
        mean = Y.mean(axis=0)
        flat = (Y - mean).reshape(len(Y), -1)
        projected = self.U.T @ flat
        error = self._leave_one_out(flat, projected).reshape(-1, *mean.shape)
        if joint:
            error = np.broadcast_to(error.sum(axis=-1, keepdims=True), error.shape)
        best = error.argmin(axis=0).ravel()
        predicted = self.rotated @ (self.gain[:, best] * projected)
        return predicted.reshape(-1, *mean.shape) + mean, mean

    def _leave_one_out(self, flat: np.ndarray, projected: np.ndarray) -> np.ndarray:
        """Sum of squared leave-one-out residuals by penalty and target.

        The square is multiplied out, so that no array of the size of the targets is made.
        """
        squares = self.weights.T @ flat**2
        errors = np.empty_like(squares)
        for i, (w, gram) in enumerate(zip(self.weights.T, self.grams, strict=True)):
            fitted = self.shrinkage[:, i : i + 1] * projected
            cross = (self.U * w[:, None]).T @ flat
            errors[i] = squares[i] + (fitted * (gram @ fitted - 2 * cross)).sum(axis=0)
        return errors
