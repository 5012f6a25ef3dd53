"""`fomoad device-kit`: a folder with everything that runs an int8 model on a microcontroller."""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

from fomoad.device import costs, micro
from fomoad.device_kit.facts import Facts, gather
from fomoad.device_kit.sources import resolver_calls, sources
from fomoad.device_kit.vectors import vectors
from fomoad.export import output_directory
from fomoad.progress import log, step

VECTORS_FOLDER: Final = "test_vectors"


def run(model: Path, out_directory: Path, photos: Sequence[str] = ()) -> None:
    """Write the kit of a model that lies beside its metadata.

    Raises UserError where there is no threshold, the model is not int8, or TFLite Micro cannot run it; nothing is
    written then.
    """
    vectors_directory = out_directory / VECTORS_FOLDER
    with output_directory.reserve(out_directory), output_directory.reserve(vectors_directory):
        facts = gather(model)
        with step("Making test vectors"):
            output_directory.publish(vectors_directory, vectors(facts, photos))
        output_directory.publish(out_directory, sources(facts) | {"README.md": _readme(facts).encode()})
    log(f"Wrote {out_directory}: its README.md says how to build and test it.")


def _readme(facts: Facts) -> str:
    detector, profile = facts.detector, facts.profile
    _, height, width, channels = detector.model.input.shape
    latency = "\n".join(
        f"| {each.core} | {each.clock_hz // 1_000_000} MHz | about {each.milliseconds:,.0f} ms |"
        for each in profile.latency
    )
    values = {
        "file": profile.model,
        "sha256": facts.sha256,
        "input": f"{width} x {height} x {channels}",
        "scaling": detector.scaling,
        "resize": detector.resize,
        "grid": f"{detector.cells.vertical.count} x {detector.cells.horizontal.count}",
        "threshold": f"{detector.threshold:.6g}",
        "code": facts.threshold,
        "flash": f"{profile.flash_bytes:,}",
        "arena": f"{facts.arena_bytes:,}",
        "measured": "measured with TFLite Micro on a 64-bit machine: a microcontroller needs some 5 % less"
        if profile.arena_bytes
        else "a guess, because TFLite Micro is not installed here",
        "latency": latency,
        "basis": costs.FORMULA,
        "operations": ", ".join(sorted(profile.operations)),
        "calls": ", ".join(resolver_calls(profile.operations)),
        "runtime": "TFLite Micro" if micro.available() else "LiteRT",
    }
    text = resources.files("fomoad.device_kit").joinpath("templates/README.md.in").read_text(encoding="utf-8")
    return Template(text).substitute(values)
