"""Which names count as what."""

import pytest

from fomoad.data.label_names import anomalous_flags
from fomoad.errors import UserError


@pytest.mark.parametrize("normal", ["no anomaly", "No Anomaly", "NORMAL", "good", "OK", "no_anomaly", " ok "])
@pytest.mark.parametrize("anomaly", ["anomaly", "Anomaly", "ANOMALY"])
def test_known_names_are_matched_without_case(normal, anomaly):
    assert anomalous_flags([normal, anomaly, normal]) == [False, True, False]


def test_no_label_stays_unknown():
    assert anomalous_flags([None, "good", None]) == [None, False, None]
    assert anomalous_flags([]) == []


def test_given_names_are_added():
    labels = ["fine", "scratch", "Dent", "anomaly"]
    assert anomalous_flags(labels, ["scratch", "dent"], ["FINE"]) == [False, True, True, True]


def test_given_names_outrank_known_ones():
    assert anomalous_flags(["good", "anomaly"], ["good"], ["anomaly"]) == [True, False]


@pytest.mark.parametrize(
    ("labels", "flags"), [(["good", "broken"], [False, True]), (["anomaly", "fine"], [True, False])]
)
def test_the_only_unknown_name_is_the_opposite_of_the_known(labels, flags):
    assert anomalous_flags(labels) == flags


@pytest.mark.parametrize(
    "labels", [["scratch"], ["good", "scratch", "dent"], ["good", "anomaly", "scratch"], ["scratch", "dent"]]
)
def test_names_that_could_mean_either_are_refused(labels):
    with pytest.raises(UserError, match=r"'scratch'.*--anomaly-label"):
        anomalous_flags(labels)


def test_a_name_given_as_both_is_refused():
    with pytest.raises(UserError, match="choose one"):
        anomalous_flags(["x"], ["X"], ["x"])
