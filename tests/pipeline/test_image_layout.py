"""Embeddings on a plane: what is alike stays together, and the same data lie the same way."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from detseg.pipeline.image_map import lay_out


def groups(n: int, *, of: int = 3, width: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around ``of`` directions, and which direction each is around."""
    rng = np.random.default_rng(5)
    which = np.arange(n) % of
    values = rng.normal(size=(of, width))[which] + rng.normal(scale=0.2, size=(n, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float16), which


def test_groups_stay_together_and_apart() -> None:
    values, which = groups(120)
    places = lay_out(values)
    assert places.shape == (120, 2)
    assert places.min() >= 0.0
    assert places.max() <= 1.0
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (which[distances.argmin(axis=1)] == which).all()
    assert trustworthiness(values.astype(float), places, n_neighbors=10) > 0.8
    assert np.array_equal(lay_out(values), places)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8, 9])
def test_few_images_have_places_too(n: int) -> None:
    places = lay_out(groups(n)[0])
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_equal_images_lie_in_one_place() -> None:
    assert np.array_equal(lay_out(np.ones((20, 8), dtype=np.float16)), np.full((20, 2), 0.5))
