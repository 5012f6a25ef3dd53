"""Thousands of wrong data directories and arguments: each is read or refused in a sentence, within honest memory.

Never a traceback, never more memory than a small multiple of what the files really hold, never code run from data.
"""

import argparse
import contextlib
import io
import json
import pickle
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fomoad import cli, parameters
from fomoad.data.info_file import read_info
from fomoad.errors import UserError
from fomoad.settings import TrainSettings, add_arguments, argument_name
from tests.support.reading import npy_file, read_all

SIDE = 32
IMAGES = np.random.default_rng(0).uniform(0, 1, (4, SIDE, SIDE, 3)).astype(np.float32)
SLACK_BYTES = 24 * 2**20
"""Memory that any reading may take: one batch of images is 16 MiB."""
MULTIPLE = 20
"""So many bytes may be held for one of a file: JSON as Python objects takes the most."""
LONGEST_MESSAGE = 1500
EXECUTED = Path(tempfile.gettempdir()) / "fomoad-test-code-was-run"


def cases(count: int) -> Any:
    """The same cases in every run; tools/fuzz looks for new ones."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)


@contextlib.contextmanager
def directory_of(**contents: bytes) -> Iterator[Path]:
    """A data directory with good training images, and the given files in place or beside them; _ stands for a dot."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        np.save(directory / "X_split_train.npy", IMAGES)
        for name, content in contents.items():
            stem, suffix = name.rsplit("_", 1)
            (directory / f"{stem}.{suffix}").write_bytes(content)
        yield directory


def read_or_refuse(directory: Path) -> str | None:
    """Read all; the message where that is refused."""
    honest = sum(path.stat().st_size for path in directory.iterdir())
    tracemalloc.start()
    try:
        read_all(directory)
        message = None
    except UserError as error:
        message = str(error)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= SLACK_BYTES + MULTIPLE * honest, f"{peak} bytes for files of {honest}"
    assert not EXECUTED.exists()
    if message is not None:
        check_message(message)
    return message


def check_message(message: str) -> None:
    """A message is one line, ends as a sentence and is short."""
    assert "\n" not in message
    assert message.endswith(".")
    assert len(message) <= LONGEST_MESSAGE


def npy(header: bytes, body: bytes, version: tuple[int, int] = (1, 0), stated_length: int | None = None) -> bytes:
    """An npy file of any header, true or not."""
    length = len(header) if stated_length is None else stated_length
    return b"\x93NUMPY" + bytes(version) + length.to_bytes(2 if version == (1, 0) else 4, "little") + header + body


DIMENSIONS = st.one_of(
    st.integers(0, 5),
    st.sampled_from([-1, 32, 96, 2**31, 2**32 + 1, 2**62, 2**63, 2**64, 10**30]),
    st.sampled_from([True, 1.5, "4", None, (2,), "9" * 40]),
)
DESCRIPTIONS = st.one_of(
    st.sampled_from(["<f4", ">f4", "<f2", "<f8", "|u1", "<i4", "|O", "|S0", "|V0", "<U0", "|b1", "<c8", "<M8[s]", "x"]),
    st.sampled_from([[("a", "<f4")], [("a", "<f4", (2, 2))], ("<f4", (2,)), {"names": ["a"]}, 4, None, ["<f4"]]),
    st.text(max_size=6),
)
HEADERS = st.fixed_dictionaries(
    {"descr": DESCRIPTIONS, "fortran_order": st.sampled_from([True, False, 0, "no"])},
    optional={"shape": st.one_of(st.lists(DIMENSIONS, max_size=6).map(tuple), DIMENSIONS), "more": st.integers()},
)


@cases(450)
@given(
    header=st.one_of(HEADERS.map(repr), st.text(max_size=40), st.integers(1, 5000).map(lambda depth: "(" * depth)),
    body=st.binary(max_size=200),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0), (9, 9)]),
    stated_length=st.one_of(st.none(), st.integers(0, 2**16 - 1)),
    name=st.sampled_from(["X_split_train_npy", "X_split_test_npy", "X_test_features_npy", "Y_split_train_npy"]),
)
def test_npy_files_of_any_header(
    header: str, body: bytes, version: tuple[int, int], stated_length: int | None, name: str
) -> None:
    content = npy(header.encode("utf-8", "surrogatepass") + b"\n", body, version, stated_length)
    with directory_of(**{name: content}) as directory:
        read_or_refuse(directory)


@cases(200)
@given(
    shape=st.lists(st.integers(0, 2**63), min_size=1, max_size=5).map(tuple),
    kind=st.sampled_from(["<f4", "|u1", "<i4", ">f8"]),
)
def test_images_that_state_more_than_they_hold(shape: tuple[int, ...], kind: str) -> None:
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    with directory_of(X_split_train_npy=npy(header, bytes(64))) as directory:
        message = read_or_refuse(directory)
    assert message is not None


@cases(450)
@given(
    place=st.integers(0, 160),
    change=st.binary(min_size=1, max_size=4),
    kept=st.integers(0, IMAGES.nbytes + 200),
    name=st.sampled_from(["X_split_train_npy", "Y_split_train_npy", "X_split_test_npy", "masks_split_test_npy"]),
)
def test_damaged_npy_files(place: int, change: bytes, kept: int, name: str) -> None:
    arrays = {
        "Y_split_train_npy": np.full((len(IMAGES), 4), 2, np.int32),
        "masks_split_test_npy": np.zeros(IMAGES.shape[:3], np.uint8),
    }
    content = bytearray(npy_file(arrays.get(name, IMAGES)))
    content[place : place + len(change)] = change
    beside = {"X_split_test_npy": npy_file(IMAGES)} if name == "masks_split_test_npy" else {}
    with directory_of(**beside, **{name: bytes(content[:kept])}) as directory:
        read_or_refuse(directory)


@cases(200)
@given(
    labels=st.one_of(
        st.lists(
            st.one_of(st.floats(), st.sampled_from([np.nan, np.inf, 1.5]), st.integers(0, 4).map(float)),
            min_size=4,
            max_size=4,
        ),
        st.lists(st.lists(st.floats(), min_size=0, max_size=6), min_size=4, max_size=4).filter(
            lambda rows: len({len(row) for row in rows}) == 1
        ),
        st.lists(st.lists(st.integers(-(2**40), 2**40), min_size=4, max_size=4), min_size=4, max_size=4),
    ),
    kind=st.sampled_from(["float64", "float32", "int64", "uint8", "bool", "object", "str"]),
)
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:overflow")
def test_label_files_of_any_values(labels: list[Any], kind: str) -> None:
    with np.errstate(all="ignore"):
        content = npy_file(np.asarray(labels).astype(kind))
    with directory_of(Y_split_train_npy=content) as directory:
        read_or_refuse(directory)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("no anomaly")),
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=12,
)


@cases(350)
@given(
    content=st.one_of(
        st.dictionaries(st.sampled_from(["classes", "inputShapeString", "mode", "yType", "x"]), JSON_VALUES),
        st.lists(JSON_VALUES, min_size=4, max_size=4),
        st.dictionaries(st.sampled_from(["samples", "train", "validation"]), st.lists(JSON_VALUES, max_size=5)),
        JSON_VALUES,
    ),
    name=st.sampled_from(
        [
            "train_input_json",
            "sample_id_details_json",
            "Y_split_train_json",
            "Y_split_train_npy",
            "sample_file_names_json",
        ]
    ),
    ascii_only=st.booleans(),
)
def test_json_files_of_any_values(content: Any, name: str, ascii_only: bool) -> None:
    text = json.dumps(content, ensure_ascii=ascii_only)
    with directory_of(**{name: text.encode("utf-8", "surrogatepass")}) as directory:
        read_or_refuse(directory)


@cases(150)
@given(
    content=st.one_of(
        st.binary(max_size=60),
        st.text(max_size=60).map(lambda text: text.encode("utf-16")),
        st.integers(1, 200_000).map(lambda depth: b"[" * depth),
        st.integers(1, 100_000).map(lambda depth: b'{"classes":' * depth),
        st.integers(1, 20_000).map(lambda digits: b'{"classes": ' + b"9" * digits + b"}"),
        st.lists(st.sampled_from([b'"classes": ["a"]', b'"classes": 1', b'"inputShapeString": "(9,9,9)"'])).map(
            lambda keys: b"{" + b",".join(keys) + b"}"
        ),
    ),
    name=st.sampled_from(["train_input_json", "sample_id_details_json", "Y_split_train_json"]),
)
def test_what_is_hardly_json(content: bytes, name: str) -> None:
    with directory_of(**{name: content}) as directory:
        read_or_refuse(directory)


class _Payload:
    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (EXECUTED,)


@pytest.mark.parametrize("name", ["X_split_train_npy", "Y_split_train_npy", "X_split_test_npy", "train_input_json"])
def test_no_code_is_run_from_data(name: str) -> None:
    for content in (pickle.dumps(_Payload()), npy_file(np.array([_Payload()], dtype=object))):
        with directory_of(**{name: content}) as directory:
            assert read_or_refuse(directory) is not None


def test_endless_files_are_not_read() -> None:
    with pytest.raises(UserError, match="is no file"):
        read_info(Path("/dev/zero"), Path())


def test_names_that_no_system_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "--data-directory", "d" * 5000, "--out-directory", "o" * 5000]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_archives_are_not_unpacked() -> None:
    """A file of some kilobytes that would be gigabytes."""
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        header = repr({"descr": "<f4", "fortran_order": False, "shape": (2**14, 64, 64, 1)}).encode()
        archive.writestr("X_split_train.npy", npy(header, bytes(2**26)))
    for name in ("X_split_train_npy", "Y_split_train_npy"):
        with directory_of(**{name: bomb.getvalue()}) as directory:
            assert read_or_refuse(directory) is not None


TEXTS = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-inf", "1e9", "1000000000", "-1", "0", "", " ", "0x10", "1_0", "½", "٣", "true", "9" * 5000]
    ),
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
)
NAMES = st.sampled_from(sorted(TrainSettings.model_fields))


@cases(500)
@given(given_values=st.dictionaries(NAMES, TEXTS, min_size=1, max_size=3))
def test_parameters_of_any_value(given_values: dict[str, str]) -> None:
    """What is taken is in range; what is not is named."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments = [f"{argument_name(name)}={value}" for name, value in given_values.items()]
    try:
        taken = parameters.resolve(parser.parse_args(arguments)).settings
    except UserError as error:
        message = str(error)
    else:
        assert TrainSettings.model_validate(taken.model_dump()) == taken
        assert 0 < taken.sampling_ratio <= 1
        assert 0 <= taken.seed < 2**32
        return
    check_message(message)
    assert any(argument_name(name) in message for name in given_values)


@cases(250)
@given(
    arguments=st.lists(
        st.one_of(
            st.sampled_from(["train", "test", "profile", "--help", "--version", "--data-directory", "--k", "--", "-"]),
            TEXTS,
        ),
        max_size=5,
    ).filter(lambda arguments: "sample-data" not in arguments)
)
def test_command_lines_of_any_words(arguments: list[str]) -> None:
    """An exit code, and at least one line on either stream: never an exception."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            code = cli.main(arguments)
        except SystemExit as exit_:  # --help and --version
            code = int(exit_.code or 0)
    assert code in (0, 1)
    assert (errors if code else output).getvalue()
    assert "Traceback" not in errors.getvalue()
