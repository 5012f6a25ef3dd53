"""What a request for support must say: versions, extras, weights, the machine, and which programs answer."""

import importlib
import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib import metadata
from typing import Final

from pydantic import BaseModel, Field

import fomoad
from fomoad import extras, machine
from fomoad.backbones.architectures import ARCHITECTURES
from fomoad.backbones.weights import find_weights
from fomoad.errors import UserError
from fomoad.inference.runtimes import model_threads
from fomoad.settings import TrainSettings

SECONDS: Final = 10
"""A program that does not answer by then is taken for one that does not answer."""
BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
MEBIBYTE: Final = 2**20


class Answer(BaseModel):
    """Whether something works here, and what it says: its version, or what is wrong."""

    works: bool
    says: str


class Extra(BaseModel):
    """An extra of the package."""

    installed: bool
    missing: list[str] = Field(description="Modules that are not installed.")


class Report(BaseModel):
    """What `fomoad doctor` prints as JSON."""

    fomoad: str
    python: str
    platform: str
    processor: str
    packages: dict[str, str | None] = Field(description="Versions by module; null where it is not installed.")
    extras: dict[str, Extra]
    weights: dict[str, Answer] = Field(description="Which weights `auto` takes for each backbone.")
    processors: int = Field(description="How many may be used here, as affinity and the container's limit allow.")
    model_threads: int = Field(description="Threads that a model file is run with.")
    memory_mib: int = Field(description="Memory that may be used here, as the container's limit allows.")
    programs: dict[str, Answer]


def examine() -> Report:
    """Look at everything."""
    modules = (*extras.BASE, *(module for names in extras.EXTRAS.values() for module in names))
    return Report(
        fomoad=fomoad.__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        processor=platform.machine(),
        packages=_versions(modules),
        extras={
            name: Extra(installed=not extras.missing(name), missing=extras.missing(name)) for name in extras.EXTRAS
        },
        weights={backbone: _weights(backbone) for backbone in ARCHITECTURES},
        processors=machine.processors(),
        model_threads=model_threads(),
        memory_mib=machine.memory_bytes() // MEBIBYTE,
        programs={name: _ask(question) for name, question in QUESTIONS.items()},
    )


def lines(report: Report) -> str:
    """A report for people to read."""
    rows = [
        ("fomoad", report.fomoad),
        ("Python", f"{report.python} on {report.platform} ({report.processor})"),
        ("Processors", f"{report.processors} ({report.model_threads} threads for a model)"),
        ("Memory", f"{report.memory_mib} MiB"),
        ("Packages", ", ".join(f"{name} {version or 'not installed'}" for name, version in report.packages.items())),
    ]
    for name, extra in report.extras.items():
        rows.append((f"Extra {name}", "installed" if extra.installed else f"missing: {', '.join(extra.missing)}"))
    for heading, answers in (("Weights ", report.weights), ("", report.programs)):
        rows += [(heading + name, ("" if answer.works else "no: ") + answer.says) for name, answer in answers.items()]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def packages() -> dict[str, str]:
    """The installed package that each module belongs to. Python 3.10's own function misses packages like NumPy's."""
    found: dict[str, str] = {}
    for each in metadata.distributions():
        for file in each.files or ():
            if len(file.parts) == 1 and file.suffix == ".py":
                found.setdefault(file.stem, each.name)
            elif len(file.parts) == 2 and file.name == "__init__.py":
                found.setdefault(file.parts[0], each.name)
    return found


def _versions(modules: tuple[str, ...]) -> dict[str, str | None]:
    of_module = packages()
    return {module: metadata.version(of_module[module]) if module in of_module else None for module in modules}


def _weights(backbone: str) -> Answer:
    try:
        found = find_weights(backbone, "auto", TrainSettings().weights_resolution)
    except UserError as error:
        return Answer(works=False, says=str(error).split(":")[0])
    return Answer(works=True, says=found.origin)


def _ask(question: Callable[[], str]) -> Answer:
    """Put a question; whatever goes wrong is the answer."""
    try:
        return Answer(works=True, says=question())
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return Answer(works=False, says=first or type(error).__name__)


def _lite_rt() -> str:
    importlib.import_module("ai_edge_litert.interpreter")
    return metadata.version("ai-edge-litert")


def _tflite_micro() -> str:
    importlib.import_module("tflite_micro.python.tflite_micro.runtime")
    return metadata.version("tflite-micro")


def _onnx_runtime() -> str:
    runtime = importlib.import_module("onnxruntime")
    return f"{runtime.__version__} ({', '.join(runtime.get_available_providers())})"


def _chromium() -> str:
    browser = next(filter(shutil.which, BROWSERS), None)
    if browser is None:
        raise FileNotFoundError(f"none of {', '.join(BROWSERS)} is installed; only tests of the report need one")
    return _output(browser, "--version")


def _docker() -> str:
    if shutil.which("docker") is None:
        raise FileNotFoundError("docker is not installed; only the container needs it")
    return _output("docker", "version", "--format", "{{.Server.Version}}")


def _output(*command: str) -> str:
    """What a program says. Raises an error with its complaint where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"{command[0]} ended with {done.returncode}")
    return done.stdout.strip()


QUESTIONS: Final[dict[str, Callable[[], str]]] = {
    "LiteRT": _lite_rt,
    "TFLite Micro": _tflite_micro,
    "ONNX Runtime": _onnx_runtime,
    "Chromium": _chromium,
    "Docker": _docker,
}
