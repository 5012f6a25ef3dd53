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
    np.testing.assert_array_equal(colours([-1.0, 0.0], 1.0)[:, :3], palette()[[0, 0], :3])


def test_a_threshold_of_zero_flags_everything():
    np.testing.assert_array_equal(colours([0.0, 1.0], 0.0), palette()[[-1, -1]])


def test_flagged_cells_are_tinted_more_than_passed_ones():
    """A step at the threshold, besides the slow rise."""
    below, at = colours([2.0 * (1 - 1e-9), 2.0], 2.0).astype(int)
    np.testing.assert_array_equal(below[:3], at[:3])
    assert at[3] > 1.9 * below[3]
    every = colours(np.linspace(0, 4, 200), 2.0)[:, 3].astype(int)
    assert (np.diff(every) >= 0).all()
