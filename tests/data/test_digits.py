"""The digits of scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits


def test_every_digit_is_there_in_256_levels(build) -> None:
    found, test = build("digits").read()
    assert test is None
    assert found.classes == tuple("0123456789")
    np.testing.assert_array_equal(found.y, load_digits().target)
    levels = found.x.numpy()[:, 0].astype(np.float64) / 255 * 16
    np.testing.assert_allclose(levels, load_digits().images, atol=16 / 255 / 2)
    assert found.x.max() == 255
