"""One model read five ways: `python -m benchmarks.readers DATA_DIRECTORY MODELS`.

MODELS is the output directory of a training. Scores of test images side by side: `fomoad predict` on the float32 file;
of the int8 file LiteRT's reference kernels, XNNPACK, TFLite Micro, and the C code of `fomoad device-kit`, which makes
the input from camera bytes and reads what TFLite Micro makes of it. Then the C code alone on more images: the same
ones, shifted and mirrored, until there are --more of them; its input bytes, score and verdict are compared with those
of Python.
"""

import argparse
import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from benchmarks.data_sets import read_test
from fomoad.data.scaling import from_pixels, to_pixels
from fomoad.device import micro
from fomoad.device_kit.facts import Facts, gather
from fomoad.device_kit.sources import sources
from fomoad.export import tflite
from fomoad.inference.predict import load_detector

READERS: Final = ("predict, float32", "LiteRT reference", "XNNPACK", "TFLite Micro", "C code")
RGB888, GREY = 0, 3
MORE_THAN_A_WORKSPACE: Final = 2**20
MORE_THAN_A_RESULT: Final = 2**16
Bytes = NDArray[np.int8]


class CameraImage(ctypes.Structure):
    """fomoad_image of fomoad.h."""

    _fields_ = (
        ("pixels", ctypes.c_void_p), ("width", ctypes.c_uint32), ("height", ctypes.c_uint32),
        ("stride", ctypes.c_uint32), ("format", ctypes.c_int),
    )  # fmt: skip


class Kit:
    """The kit's C code, compiled for this machine."""

    def __init__(self, facts: Facts, folder: Path) -> None:
        for name, content in sources(facts).items():
            (folder / name).write_bytes(content)
        library = folder / "kit.so"
        options = ["-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
        subprocess.run(
            ["gcc", *options, str(folder / "fomoad.c"), str(folder / "fomoad_config.c"), "-o", str(library)], check=True
        )
        self._code = ctypes.CDLL(str(library))
        self._code.fomoad_score.restype = ctypes.c_float
        self._code.fomoad_score.argtypes = [ctypes.c_int8]
        self._workspace = ctypes.create_string_buffer(MORE_THAN_A_WORKSPACE)
        self._shape = facts.detector.model.input.shape

    def input(self, pixels: NDArray[np.uint8]) -> Bytes:
        """The model's input (1, height, width, channels) that it makes of camera bytes."""
        stored = np.empty(self._shape, np.int8)
        code = self._code.fomoad_prepare(
            ctypes.byref(_camera(pixels)), self._workspace, stored.ctypes.data_as(ctypes.c_void_p)
        )
        assert code == 0, f"the C code refuses the image: {code}"
        return stored

    def read(self, output: Bytes, pixels: NDArray[np.uint8]) -> tuple[int, bool, float]:
        """The highest byte, the verdict and the score that it reads from the model's output."""
        result = ctypes.create_string_buffer(MORE_THAN_A_RESULT)
        output = np.ascontiguousarray(output)
        self._code.fomoad_read(
            output.ctypes.data_as(ctypes.c_void_p), ctypes.byref(_camera(pixels)), self._workspace, result
        )
        highest = int(np.frombuffer(result.raw[:1], np.int8)[0])
        return highest, bool(result.raw[1]), float(self._code.fomoad_score(highest))


class LiteRt:
    """The int8 file by LiteRT with some kernels."""

    def __init__(self, content: bytes, kernels: OpResolverType) -> None:
        self._interpreter = Interpreter(model_content=content, experimental_op_resolver_type=kernels, num_threads=1)
        self._interpreter.allocate_tensors()

    def run(self, stored: Bytes) -> Bytes:
        """The stored output (rows, columns)."""
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], stored)
        self._interpreter.invoke()
        output: Bytes = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])[0]
        return output


def main() -> None:
    """Parse the arguments, score, and print the table and what it comes to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, help="data directory with test images of the model's size")
    parser.add_argument("models", type=Path, help="output directory of a training")
    parser.add_argument("--images", type=int, default=120, help="test images in the table, spread over all")
    parser.add_argument("--more", type=int, default=2000, help="images for the C code alone")
    arguments = parser.parse_args()
    exact = load_detector(arguments.models / tflite.FLOAT_FILE, None, None, None)
    facts = gather(arguments.models / tflite.INT8_FILE)
    images = read_test(arguments.directory, exact.scaling).images
    count = min(arguments.images, len(images))
    some = to_pixels(images[np.linspace(0, len(images) - 1, count).astype(int)], exact.scaling)
    chosen = np.round(some).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        kit = Kit(facts, Path(folder))
        compare_readers(exact.model, exact.threshold, facts, kit, chosen)
        compare_code(facts, kit, chosen, arguments.more)


def compare_readers(exact: Any, threshold: float, facts: Facts, kit: Kit, pixels: NDArray[np.uint8]) -> None:
    """Print the scores of images (n, height, width, channels) by all readers, and how far they are apart."""
    detector = facts.detector
    spec = detector.model.output
    reference = LiteRt(facts.content, OpResolverType.BUILTIN_REF)
    fast = LiteRt(facts.content, OpResolverType.BUILTIN)
    stored = detector.model.input.encode(from_pixels(pixels, detector.scaling))
    by_micro = micro.run(facts.content, stored, facts.arena_bytes)
    by_code = micro.run(facts.content, np.concatenate([kit.input(photo) for photo in pixels]), facts.arena_bytes)
    highest = np.array([
        [reference.run(each[None]).max(), fast.run(each[None]).max(), output.max(), kit.read(own, photo)[0]]
        for each, output, own, photo in zip(stored, by_micro, by_code, pixels, strict=True)
    ])  # fmt: skip
    floats = exact.score(from_pixels(pixels, detector.scaling)).max(axis=(1, 2))
    scores = np.column_stack([floats, spec.decode(highest)])
    print(f"| image | {' | '.join(READERS)} |\n|{'---|' * (len(READERS) + 1)}")
    for number, row in enumerate(scores):
        print(f"| {number} | {' | '.join(f'{score:.4f}' for score in row)} |")
    verdicts = np.column_stack([floats >= threshold, spec.decode(highest) >= detector.threshold])
    print(f"\n| of {len(scores)} images | {' | '.join(READERS)} |\n|{'---|' * (len(READERS) + 1)}")
    print(f"| flagged | {' | '.join(str(each) for each in verdicts.sum(axis=0))} |")
    print(
        f"| verdict as TFLite Micro | {' | '.join(str(each) for each in (verdicts == verdicts[:, 3:4]).sum(axis=0))} |"
    )
    steps = np.abs(highest - highest[:, 2:3])
    print(f"| steps off TFLite Micro, at most | - | {' | '.join(str(each) for each in steps.max(axis=0))} |")
    equal = (steps == 0).sum(axis=0)
    print(f"| score equal to TFLite Micro's | - | {' | '.join(str(each) for each in equal)} |\n")


def compare_code(facts: Facts, kit: Kit, pixels: NDArray[np.uint8], count: int) -> None:
    """Compare input bytes, scores and verdicts of the C code with Python's, on so many images."""
    detector = facts.detector
    wrong = {"input": 0, "score": 0, "verdict": 0}
    for photo in varied(pixels, count):
        expected = detector.model.input.encode(from_pixels(photo[None], detector.scaling))
        stored = kit.input(photo)
        output = detector.model.run(stored)[0]
        code, flagged, score = kit.read(output, photo)
        decoded = detector.model.output.decode(output)
        wrong["input"] += stored.tobytes() != expected.tobytes()
        wrong["score"] += code != output.max() or np.float32(score) != decoded.max()
        wrong["verdict"] += flagged != bool(decoded.max() >= detector.threshold)
    print(f"C code on {count} images: " + ", ".join(f"{number} with another {name}" for name, number in wrong.items()))


def varied(pixels: NDArray[np.uint8], count: int) -> Iterator[NDArray[np.uint8]]:
    """As many images: the given ones, then again shifted round, by more pixels each time, and mirrored in turn."""
    for number in range(count):
        turn, image = divmod(number, len(pixels))
        shifted = np.roll(pixels[image], (turn, 2 * turn), axis=(0, 1))
        yield np.ascontiguousarray(shifted[:, ::-1] if turn % 2 else shifted)


def _camera(pixels: NDArray[np.uint8]) -> CameraImage:
    height, width, channels = pixels.shape
    form = GREY if channels == 1 else RGB888
    return CameraImage(pixels.ctypes.data, width, height, width * channels, form)


if __name__ == "__main__":
    main()
