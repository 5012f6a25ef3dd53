"""The kit's C code, under sanitizers, held byte for byte to what `fomoad predict` computes."""

import functools
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomoad.data.image_file import place
from fomoad.data.scaling import valid_range
from fomoad.device.profile import Profile
from fomoad.device_kit.facts import Facts
from fomoad.device_kit.sources import sources
from fomoad.device_kit.vectors import FORMATS, camera_image, model_input
from fomoad.geometry import Axis, CellGeometry
from fomoad.inference.model import GridModel, TensorSpec
from fomoad.inference.predict import ANOMALY, Detector, describe
from fomoad.vote import Vote

HERE = Path(__file__).parent
IMAGES = 200
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-g", "-O1"]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
OK, NO_IMAGE, TOO_LARGE, TOO_SMALL = range(4)
LONGEST = 640
CASES = [
    ("squash", 3, "0..1", (24, 24)),
    ("fit-short", 3, "torch", (32, 20)),
    ("fit-long", 1, "0..1", (20, 32)),
    ("crop", 3, "bgr-subtract-imagenet-mean", (24, 24)),
    ("fit-short", 1, "-128..127", (24, 24)),
    ("fit-long", 3, "-1..1", (25, 25)),
]
IGNORED = np.random.default_rng(3).random((5, 6)) < 0.4

compilers = pytest.mark.parametrize("compiler", ["gcc", "clang"])


def facts_of(resize: str, channels: int, scaling: str, size: tuple[int, int]) -> Facts:
    """A model that is never run, with cells of its own places: nothing round, nothing square."""
    low, high = valid_range(scaling, channels)
    step = float(np.float32((high - low) / 255))
    image = TensorSpec((1, size[1], size[0], channels), "int8", step, round(-128 - low / step))
    scores = TensorSpec((1, 5, 6), "int8", 0.037, -128)
    cells = CellGeometry(Axis(5, 3.3, 4.1, 6.7), Axis(6, 2.7, 3.3, 3.9))
    model = GridModel("tflite", image, scores, lambda stored: stored)
    detector = Detector(model, 2.36, scaling, resize, cells, ignored=IGNORED if resize == "crop" else None)
    profile = Profile(
        model="model.tflite", flash_bytes=5, arena_bytes=64, tflite_micro=True, not_measured=None, blocking=[], macs=1,
        macs_by_precision={}, elements_without_macs=0, operations={"CONV_2D": 1}, latency=[],
    )  # fmt: skip
    return Facts(b"model", detector, profile, np.array([-90, -70, -69], np.int8))


@functools.cache
def _links(compiler: str) -> bool:
    """Whether a program can be made with this compiler's sanitizers."""
    if shutil.which(compiler) is None:
        return False
    command = [compiler, *SANITIZERS, "-x", "c", "-", "-o", "/dev/null"]
    return subprocess.run(command, input=b"int main(void){return 0;}", capture_output=True, check=False).returncode == 0


def compiled(folder: Path, facts: Facts, compiler: str) -> Path:
    """The driver with this model's sources, under sanitizers."""
    if not _links(compiler):
        pytest.skip(f"{compiler} is not installed with its sanitizers")
    for name, content in sources(facts).items():
        (folder / name).write_bytes(content)
    files = [folder / "fomoad.c", folder / "fomoad_config.c", folder / "fomoad_model.c", HERE / "driver.c"]
    program = folder / "driver"
    command = [compiler, *WARNINGS, *SANITIZERS, f"-I{folder}", *map(str, files), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@dataclass(frozen=True)
class Said:
    """What the driver writes of one image."""

    error: int
    input: bytes
    score: int
    anomalous: int
    alarm: int
    boxes: list[tuple[int, ...]]


def run(program: Path, facts: Facts, records: list[bytes]) -> tuple[list[Said], tuple[int, ...]]:
    """What it says of each record, and its counters."""
    done = subprocess.run([program], input=b"".join(records), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    size = int(np.prod(facts.detector.model.input.shape))
    said, at = [], 0
    for _ in records:
        (error,) = struct.unpack_from("<i", done.stdout, at)
        given = done.stdout[at + 4 : at + 4 + size]
        score, anomalous, alarm, count = struct.unpack_from("<4i", done.stdout, at + 4 + size)
        at += 20 + size
        boxes = [struct.unpack_from("<5i", done.stdout, at + 20 * box) for box in range(count)]
        at += 20 * count
        said.append(Said(error, given, score, anomalous, alarm, boxes))
    return said, struct.unpack(f"<{len(facts.counter_edges) + 2}I", done.stdout[at:])


def record(form: int, width: int, height: int, stride: int, pixels: bytes, output: np.ndarray) -> bytes:
    return struct.pack("<5I", form, width, height, stride, len(pixels)) + pixels + output.tobytes()


def random_images(size: tuple[int, int], resize: str, seed: int) -> Iterator[Image.Image]:
    """Blocks and noise of any side up to 90 pixels and at times 640; large enough to be cropped where they must be."""
    random = np.random.default_rng(seed)
    low = max(size) if resize == "crop" else 1
    for number in range(IMAGES):
        width, height = random.integers(low, 90, 2)
        if number % 50 == 0:
            width = LONGEST
        block = int(random.integers(1, 9))
        coarse = random.integers(0, 256, (-(-height // block), -(-width // block), 3), dtype=np.uint8)
        yield Image.fromarray(coarse.repeat(block, axis=0).repeat(block, axis=1)[:height, :width])


def expected(facts: Facts, image: Image.Image, output: np.ndarray) -> Said:
    """The same by fomoad's own Python."""
    detector = facts.detector
    spec = detector.model.output
    geometry = place(image.size, (detector.model.input.shape[2], detector.model.input.shape[1]), detector.resize)
    said = describe(spec.decode(output), detector.threshold, detector.cells, geometry)
    boxes = [
        (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"], round(box["score"] / spec.scale) - 128)
        for box in said["boxes"]
    ]
    flagged = int(said["verdict"] == ANOMALY)
    return Said(OK, model_input(detector, image).tobytes(), int(output.max()), flagged, flagged, boxes)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[:3])))
def test_every_byte_is_that_of_predict(tmp_path: Path, case: tuple[str, int, str, tuple[int, int]]) -> None:
    facts = facts_of(*case)
    program = compiled(tmp_path, facts, "gcc")
    random = np.random.default_rng(7)
    records, awaited = [], []
    for number, image in enumerate(random_images(case[3], case[0], seed=3)):
        form = number % len(FORMATS)
        camera = camera_image(image, FORMATS[form])
        output = random.integers(-128, int(random.integers(-80, 128)), (5, 6)).astype(np.int8)
        row_bytes = len(camera.content) // camera.height
        padding = int(random.integers(0, 5))
        rows = [camera.content[row * row_bytes : (row + 1) * row_bytes] for row in range(camera.height)]
        pixels = (b"\xa5" * padding).join(rows)
        records.append(record(form, camera.width, camera.height, row_bytes + padding, pixels, output))
        awaited.append(expected(facts, camera.image, output))
    found, counters = run(program, facts, records)
    assert found == awaited
    flagged = sum(each.anomalous for each in awaited)
    calm = [each.score for each in awaited if not each.anomalous]
    bins = np.bincount(np.searchsorted(facts.counter_edges, calm, "right"), minlength=4)
    assert counters == (*bins.tolist(), flagged)
    assert 0 < flagged < IMAGES


@compilers
def test_no_read_lies_out_of_bounds(tmp_path: Path, compiler: str) -> None:
    """Any format, size and stride: the sanitizers end the program at the first read beyond the pixels it was given."""
    facts = facts_of(*CASES[3])
    program = compiled(tmp_path, facts, compiler)
    random = np.random.default_rng(11)
    records, errors = [], []
    for _ in range(1500):
        form, width, height = (int(random.integers(0, top)) for top in (6, 70, 70))
        if random.random() < 0.1:
            width = int(random.choice([0, 23, 24, LONGEST, LONGEST + 1, 2**31, 2**32 - 1]))
        each = {0: 3, 1: 2, 2: 2, 3: 1}.get(form, 0)
        stride = width * each + int(random.integers(-3, 6))
        stride = min(max(stride, 0), 2**32 - 1)
        error = OK
        if not each or not width or not height:
            error = NO_IMAGE
        elif width > LONGEST:
            error = TOO_LARGE
        elif stride < width * each:
            error = NO_IMAGE
        elif width < 24 or height < 24:
            error = TOO_SMALL
        size = (height - 1) * stride + width * each if error == OK else int(random.integers(1, 9))
        if error == OK and random.random() < 0.05:
            size, error = 0, NO_IMAGE
        output = random.integers(-128, 128, (5, 6)).astype(np.int8)
        records.append(record(form, width, height, stride, random.bytes(size), output))
        errors.append(error)
    found, _ = run(program, facts, records)
    assert [each.error for each in found] == errors
    assert {OK, NO_IMAGE, TOO_LARGE, TOO_SMALL} == set(errors)


def test_a_vote_waits_for_enough_images(tmp_path: Path) -> None:
    """3 of 4, against a loop."""
    facts = facts_of(*CASES[0])
    facts = replace(facts, detector=replace(facts.detector, vote=Vote(3, 4)))
    for name, content in sources(facts).items():
        (tmp_path / name).write_bytes(content)
    program = tmp_path / "driver"
    files = [tmp_path / "fomoad.c", tmp_path / "fomoad_config.c", HERE / "driver.c"]
    subprocess.run(["gcc", *WARNINGS, f"-I{tmp_path}", *map(str, files), "-o", str(program)], check=True)
    flags = np.random.default_rng(5).random(300) < 0.6
    grids = [np.full((5, 6), 127 if flag else -128, np.int8) for flag in flags]
    found, _ = run(program, facts, [record(3, 1, 1, 1, b"\0", grid) for grid in grids])
    assert [each.alarm for each in found] == [int(flags[max(0, end - 4) : end].sum() >= 3) for end in range(1, 301)]


def test_the_table_of_ignored_cells_is_the_metadata_s() -> None:
    """Row by row, as a C array of as many values as the header declares."""
    facts = facts_of(*CASES[3])
    files = {name: content.decode() for name, content in sources(facts).items()}
    assert f"#define FOMOAD_IGNORED_CELLS {IGNORED.sum()}\n" in files["fomoad_config.h"]
    table = files["fomoad_config.c"].split("fomoad_ignored_cells")[1].split("{")[1].split("}")[0]
    np.testing.assert_array_equal(np.array(table.split(","), int), IGNORED.ravel())
    assert "#define FOMOAD_IGNORED_CELLS 0\n" in sources(facts_of(*CASES[0]))["fomoad_config.h"].decode()
