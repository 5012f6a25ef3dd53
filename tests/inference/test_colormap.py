"""Blue to red and clear to strong, whatever the scale of the scores."""

import numpy as np

from fomoad.inference.colormap import FULL_AT, colours, palette


def test_from_blue_and_clear_to_red_and_strong():
    red, green, blue, opacity = palette().astype(int).T
    assert blue[0] > red[0]
    assert red[-1] > blue[-1]
    assert (np.diff(red) >= 0).all()
    assert (np.diff(blue) <= 0).all()
    assert (np.diff(opacity) >= 0).all()
    assert opacity[0] < 32 < 128 < opacity[-1]
    assert green.max() < 128, "no green, so that red and green never stand side by side"


def test_colours_compare_with_the_threshold():
    scores = np.array([[0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(colours(scores, 2.0), colours(10 * scores, 20.0))
    assert colours(scores, 2.0).shape == (2, 2, 4)


def test_scores_beyond_the_end_have_the_last_colour():
    np.testing.assert_array_equal(colours([FULL_AT, 100.0], 1.0), palette()[[-1, -1]])
    np.testing.assert_array_equal(colours([-1.0, 0.0], 1.0), palette()[[0, 0]])


def test_a_threshold_of_zero_flags_everything():
    np.testing.assert_array_equal(colours([0.0, 1.0], 0.0), palette()[[-1, -1]])
