"""The kit's C code for a Cortex-M4: its size, and every byte of its test vectors on an emulated one."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fomoad.device_kit.facts import Facts
from fomoad.device_kit.sources import sources
from fomoad.device_kit.vectors import FORMATS, _line, camera_image, model_input
from tests.device_kit.test_c_code import facts_of, random_images

HERE = Path(__file__).parent
GCC = "arm-none-eabi-gcc"
CORE = ["-mcpu=cortex-m4", "-mthumb", "-mfpu=fpv4-sp-d16", "-mfloat-abi=hard"]
FLAGS = [*CORE, "-std=c99", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror"]
MOST_CODE = 4096
MACHINE = ["-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"]

pytestmark = pytest.mark.skipif(shutil.which(GCC) is None, reason=f"{GCC} is not installed")


def write_kit(folder: Path) -> Facts:
    """The sources of a model for 32 x 20 pixels, and vectors whose outputs are made up."""
    facts = facts_of("fit-short", 3, "torch", (32, 20))
    for name, content in sources(facts).items():
        (folder / name).write_bytes(content)
    vectors = folder / "test_vectors"
    vectors.mkdir()
    random = np.random.default_rng(2)
    lines = []
    for number, image in enumerate(random_images((32, 20), "fit-short", seed=4)):
        if number == 24:
            break
        camera = camera_image(image, FORMATS[number % len(FORMATS)])
        output = random.integers(-128, int(random.integers(-80, 128)), (5, 6)).astype(np.int8)
        (vectors / f"{number}.camera").write_bytes(camera.content)
        (vectors / f"{number}.input").write_bytes(model_input(facts.detector, camera.image).tobytes())
        (vectors / f"{number}.output").write_bytes(output.tobytes())
        lines.append(_line(facts.detector, str(number), camera, output))
    (vectors / "vectors.txt").write_text("".join(lines))
    return facts


def test_the_code_is_small(tmp_path: Path) -> None:
    write_kit(tmp_path)
    subprocess.run([GCC, *FLAGS, "-c", "fomoad.c", "-o", "fomoad.o"], cwd=tmp_path, check=True)
    size = subprocess.run(["arm-none-eabi-size", "fomoad.o"], cwd=tmp_path, capture_output=True, text=True, check=True)
    text, data, bss = map(int, size.stdout.splitlines()[1].split()[:3])
    assert text < MOST_CODE
    assert (data, bss) == (0, 0), "all memory is the caller's"


@pytest.mark.skipif(shutil.which("qemu-system-arm") is None, reason="qemu-system-arm is not installed")
def test_every_byte_is_right_on_an_emulated_cortex_m4(tmp_path: Path) -> None:
    write_kit(tmp_path)
    found = subprocess.run([GCC, *CORE, "-print-file-name=rdimon-crt0.o"], capture_output=True, text=True, check=True)
    command = [GCC, *FLAGS, "--specs=rdimon.specs", "-nostartfiles", f"-T{HERE / 'cortex_m.ld'}", found.stdout.strip()]
    command += [str(HERE / "cortex_m.c"), "fomoad.c", "fomoad_config.c", "fomoad_model.c", "self_test.c"]
    linked = subprocess.run([*command, "-o", "test.elf"], cwd=tmp_path, capture_output=True, text=True, check=False)
    if "cannot find" in linked.stderr or "cannot read spec" in linked.stderr:
        pytest.skip("newlib for arm-none-eabi is not installed")
    assert linked.returncode == 0, linked.stderr
    emulate = ["qemu-system-arm", *MACHINE, "-semihosting-config", "enable=on,target=native", "-kernel", "test.elf"]
    done = subprocess.run(emulate, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "24 of 24 images are right"
    assert done.returncode == 0
