"""Embeddings laid out on a plane: images that a backbone sees alike lie near each other."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_COMPONENTS, _PERPLEXITY, _SEED = 50, 30.0, 0
_FEWEST = 8
"""Of fewer images the two main components say as much as t-SNE would."""

Floats = npt.NDArray[np.float64]


def lay_out(embeddings: npt.NDArray[np.floating]) -> Floats:
    """Return places (N, 2), each coordinate in [0, 1], of embeddings (N, D) of one model.

    t-SNE (van der Maaten and Hinton, "Visualizing Data using t-SNE", 2008) of the principal components, with
    a fixed seed; a few thousand rows at most. Distances between far groups say nothing.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    n, width = embeddings.shape
    values = np.asarray(embeddings, dtype=np.float64)
    if n < 2 or width < 2 or not np.ptp(values, axis=0).any():
        return np.full((n, 2), 0.5)
    with threadpool_limits(
        1
    ):  # more threads wait for each other thousands of times, and sum in another order
        placed = PCA(min(_COMPONENTS, n, width), random_state=_SEED).fit_transform(values)
        if n >= _FEWEST:
            perplexity = min(_PERPLEXITY, (n - 1) / 3)
            placed = TSNE(2, perplexity=perplexity, init="pca", random_state=_SEED).fit_transform(placed)
    placed = placed[:, :2]
    low, extent = placed.min(axis=0), np.ptp(placed, axis=0)
    return np.asarray((placed - low) / np.where(extent > 0, extent, 1.0), dtype=np.float64)
