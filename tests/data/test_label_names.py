"""Which names count as what."""

import pytest

from fomoad.data.label_names import LabelNames, anomalous_flags, kept_label_names, only_unknown, read_label_map
from fomoad.errors import UserError


@pytest.mark.parametrize(
    "normal", ["no anomaly", "No Anomaly", "NORMAL", "good", "OK", "no_anomaly", " ok ", "pass", "Non-Defective", "0"]
)
@pytest.mark.parametrize("anomaly", ["anomaly", "Anomaly", "ANOMALY", "not_ok", "1"])
def test_known_names_are_matched_without_case(normal, anomaly):
    assert anomalous_flags([normal, anomaly, normal]) == [False, True, False]


def test_no_label_stays_unknown():
    assert anomalous_flags([None, "good", None]) == [None, False, None]
    assert anomalous_flags([]) == []


def test_given_names_are_added():
    labels = ["fine", "scratch", "Dent", "anomaly"]
    assert anomalous_flags(labels, LabelNames(["scratch", "dent"], ["FINE"])) == [False, True, True, True]


def test_given_names_outrank_known_ones():
    assert anomalous_flags(["good", "anomaly"], LabelNames(["good"], ["anomaly"])) == [True, False]


@pytest.mark.parametrize(
    ("labels", "flags"), [(["good", "broken"], [False, True]), (["anomaly", "fine"], [True, False])]
)
def test_the_only_unknown_name_is_the_opposite_of_the_known(labels, flags):
    assert anomalous_flags(labels) == flags


@pytest.mark.parametrize(
    "labels", [["scratch"], ["good", "scratch", "dent"], ["good", "anomaly", "scratch"], ["scratch", "dent"]]
)
def test_names_that_could_mean_either_are_refused(labels):
    with pytest.raises(UserError, match=r"'scratch'.*--labels"):
        anomalous_flags(labels)


def test_a_name_given_as_both_is_refused():
    with pytest.raises(UserError, match="choose one"):
        LabelNames(["X"], ["x"])


def test_a_label_map_is_read_and_kept_with_the_data(tmp_path):
    (tmp_path / "labels.json").write_text('{"Scratch": "defective", "fine": "good", "good": "anomaly"}')
    assert kept_label_names(tmp_path / "none") == LabelNames()
    names = kept_label_names(tmp_path)
    assert names.as_map() == {"Scratch": "anomaly", "fine": "no anomaly", "good": "anomaly"}
    assert anomalous_flags(["scratch", "fine", "good"], names) == [True, False, True]
    outranked = LabelNames(normal=["GOOD"]).over(names)
    assert anomalous_flags(["scratch", "good"], outranked) == [True, False]


@pytest.mark.parametrize("content", ["[]", '{"x": 1}', '{"x": "perhaps"}'])
def test_what_is_no_label_map_is_refused(tmp_path, content):
    (tmp_path / "map.json").write_text(content)
    with pytest.raises(UserError, match=r"map\.json is not a label map"):
        read_label_map(tmp_path / "map.json")


def test_one_label_that_nobody_knows_is_told_from_others():
    assert only_unknown(["tile", None, "Tile"], LabelNames()).casefold() == "tile"
    assert only_unknown(["tile"], LabelNames(["tile"])) is None
    assert only_unknown(["tile", "good"], LabelNames()) is None
    assert only_unknown([None], LabelNames()) is None
