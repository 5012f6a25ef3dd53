"""`fomoad monitor` as it runs for weeks: cut off anywhere, fed anything, and asked again."""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fomoad import cli, state_file
from fomoad.maintenance import monitor_setup, score_lines
from fomoad.maintenance.monitor_setup import Options
from fomoad.maintenance.reference import Reference
from fomoad.metadata import AnomalyMetadata, BackboneInfo, Grid, InputInfo, ModelFile, TensorInfo, Threshold
from tests.support.browser import opened

HELD_OUT = np.random.default_rng(0).gamma(20, 0.1, 300).astype(np.float32)


def write_training(folder: Path, content: bytes = b"the bytes of a model") -> Path:
    """A model file, metadata and state as the monitor reads them; it never runs the model."""
    folder.mkdir(parents=True, exist_ok=True)
    model = folder / "model.tflite"
    model.write_bytes(content)
    threshold = Threshold(suggested=float(HELD_OUT.max()), method="max", max_train=float(HELD_OUT.max()))
    tensor = TensorInfo(shape=[1, 5, 5], dtype="float32")
    record = ModelFile(
        sha256=hashlib.sha256(content).hexdigest(), bytes=1, input=tensor, output=tensor, threshold=threshold
    )
    metadata = AnomalyMetadata(
        nominalThresholdScore=1,
        threshold=threshold,
        scoring_function="gmm",
        settings={},
        backbone=BackboneInfo(name="", layers=[], weights="", weights_sha256=""),
        input=InputInfo(height=96, width=96, channels=3, scaling="0..1"),
        grid=Grid(rows=5, columns=5),
        training_images=300,
        versions={},
        models={"model.tflite": record},
    )
    (folder / "anomaly_metadata.json").write_text(metadata.model_dump_json())
    arrays = state_file.for_model("model.tflite", content, HELD_OUT)
    (folder / state_file.FILE).write_bytes(state_file.pack(arrays))
    return model


def lines_of(scores: np.ndarray, grids: bool = False) -> list[str]:
    """Lines as `fomoad predict` prints them."""
    random = np.random.default_rng(1)
    lines = []
    for number, score in enumerate(scores):
        content: dict[str, Any] = {"file": f"photos/{number}.png", "score": float(score), "verdict": "no anomaly"}
        if grids:
            content["grid"] = random.uniform(0, 1, (5, 5)).round(3).tolist()
            content["grid"][1][2] += 2.0 if number >= 300 else 0.0
        lines.append(json.dumps(content) + "\n")
    return lines


def calm(count: int, seed: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).gamma(20, 0.1, count)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_training(tmp_path / "models")


def watch(model: Path, source: Path, **options: Any) -> bool:
    return monitor_setup.run(model, str(source), Options(**{"false_alarm": 0.001} | options))


def state_of(model: Path) -> dict[str, Any]:
    return json.loads(model.with_name("model.tflite.monitor.json").read_text())


def test_calm_streams_exit_with_0_and_changed_ones_with_3(model: Path, tmp_path: Path, capsys: Any) -> None:
    """The alarm says what, since when and what to do, and calls the command once, with the alarm on its input."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(lines_of(calm(300))))
    arguments = ["monitor", str(lines), "--model", str(model), "--on-alarm", f"cat >> {tmp_path}/alarm.json"]
    assert cli.main(arguments) == 0
    assert "No alarm." in capsys.readouterr().out
    lines.write_text("".join(lines_of(np.concatenate([calm(300), calm(100, 3) + 1]))))
    assert cli.main(arguments) == 3
    told = capsys.readouterr().out
    assert "became higher, since about image 30" in told
    assert "fomoad update" in told
    assert cli.main([*arguments, "--status"]) == cli.main(arguments) == 3
    alarms = [json.loads(part) for part in (tmp_path / "alarm.json").read_text().replace("}{", "}\n{").splitlines()]
    assert len(alarms) == len(state_of(model)["alarms"])
    assert abs(alarms[0]["since"] - 301) < 10
    assert alarms[0]["since_name"] == f"photos/{alarms[0]['since'] - 1}.png"
    assert cli.main(["monitor", str(lines), "--model", str(model), "--reset", "--status"]) == 0


@given(pieces=st.lists(st.integers(1, 400), max_size=6), cut=st.integers(0, 40))
@settings(max_examples=6)
def test_any_pieces_and_restarts_count_every_line_once(
    pieces: list[int], cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A file that grows while the monitor is started again and again, cut inside lines, ends in the same state."""
    folder = tmp_path_factory.mktemp("pieces")
    whole = "".join(lines_of(np.concatenate([calm(120), calm(20, 3) + 0.3]))).encode()
    once, often = (write_training(folder / name) for name in ("once", "often"))
    (folder / "whole.jsonl").write_bytes(whole)
    watch(once, folder / "whole.jsonl")
    growing = folder / "growing.jsonl"
    for stop in sorted({min(len(whole), piece * 37 + cut) for piece in pieces} | {len(whole)}):
        growing.write_bytes(whole[:stop])
        watch(often, growing)
    assert {**state_of(once), "progress": 0} == {**state_of(often), "progress": 0}


def test_a_rotated_file_is_read_from_its_start(model: Path, tmp_path: Path) -> None:
    """Another file of the same name, even a longer one, is not taken for the continuation of the old one."""
    log = tmp_path / "log.jsonl"
    log.write_text("".join(lines_of(calm(50))))
    watch(model, log)
    log.write_text("".join(lines_of(calm(80, 9))))
    watch(model, log)
    assert state_of(model)["images"] == 130


def test_kills_lose_little_and_never_count_twice(model: Path, tmp_path: Path) -> None:
    """Killed at any moment, the state is whole; numbered lines that are sent again are counted once."""
    numbered = [json.dumps({"score": score, "sequence": number}) for number, score in enumerate(calm(1000))]
    program = [sys.executable, "-m", "fomoad", "monitor", "--model", str(model)]
    for seconds in (2.0, 2.5):
        process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)
        assert process.stdin is not None
        end = time.monotonic() + seconds
        for number in range(0, 1000, 20):
            if time.monotonic() > end:
                break
            process.stdin.write(("\n".join(numbered[number : number + 20]) + "\n").encode())
            process.stdin.flush()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    everything = tmp_path / "everything.jsonl"
    everything.write_text("\n".join(numbered) + "\n")
    watch(model, everything)
    found = state_of(model)
    assert found["images"] == 1000
    assert sorted(path.name for path in model.parent.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize("damage", ["cut", "json", "nan", "newer", "counts", "model", "threshold", "negative"])
def test_a_state_that_does_not_fit_is_refused_and_left(model: Path, tmp_path: Path, damage: str, capsys: Any) -> None:
    """Damaged, of a newer version, of another model or threshold: one sentence, and the file stays as it is."""
    lines = tmp_path / "lines.jsonl"
    lines.write_text("".join(lines_of(calm(120))))
    watch(model, lines)
    path = model.with_name("model.tflite.monitor.json")
    content = state_of(model)
    content |= {
        "nan": {"false_alarm": float("nan")},
        "newer": {"version": 99, "invented": 1},
        "counts": {"training": content["training"] | {"counts": [1, 2]}},
        "model": {"model": "0" * 64},
        "threshold": {"reference": "0" * 64},
        "negative": {"images": -1},
    }.get(damage, {})
    path.write_text({"cut": path.read_text()[:-40], "json": "[1, 2"}.get(damage, json.dumps(content)))
    before = path.read_bytes()
    assert cli.main(["monitor", str(lines), "--model", str(model)]) == 1
    assert "--reset" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert cli.main(["monitor", str(lines), "--model", str(model), "--reset"]) == 0


HOSTILE = [
    "", "null", "true", "[]", "{}", '{"score": true}', '{"score": "1"}', '{"score": NaN}', '{"score": 1e999}',
    '{"score": -1}', '{"score": ' + "9" * 400 + "}", "[" * 100_000, '{"score": 1, "grid": [[1], [2, 3]]}',
    '{"score": 1, "grid": [[NaN]]}', '{"score": 1, "grid": 3}', '{"score": 1, "sequence": -1}', "\x00\xff",
    '{"score": 1, "review": "maybe"}', '{"counters": [1, 2]}', '{"counters": [-1]}', '{"counters": []}', "infinity",
]  # fmt: skip


def test_hostile_lines_are_passed_over(model: Path, tmp_path: Path) -> None:
    """Lines that are no scores count as nothing, and those after them still count."""
    lines = tmp_path / "lines.jsonl"
    lines.write_bytes("\n".join([*HOSTILE, '{"file": "a.png", "error": "broken"}', "2.0", ""]).encode("latin-1"))
    assert not watch(model, lines)
    found = state_of(model)
    assert found["images"] == 1
    assert found["unusable"] == len(HOSTILE) - 1  # the empty one is no line


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_any_bytes_are_a_line_or_refused(line: bytes) -> None:
    """Nothing but LineError comes of odd bytes."""
    with contextlib.suppress(score_lines.LineError):
        score_lines.parse(line)


def test_defects_that_a_person_confirmed_are_left_out(model: Path, tmp_path: Path) -> None:
    """Reviewed lines: a defect is no image of the stream; a good one counts as before."""
    lines = tmp_path / "lines.jsonl"
    reviewed = [{"score": 99.0, "review": "defect"}] * 50 + [{"score": 2.0, "review": "good"}] * 5
    lines.write_text("".join(json.dumps(each) + "\n" for each in reviewed))
    assert not watch(model, lines)
    assert (state_of(model)["images"], state_of(model)["defects"]) == (5, 50)
    lines.write_text("".join('{"score": 99.0}\n' for _ in range(60)))
    assert watch(model, lines)
    assert state_of(model)["alarms"][0]["kind"] == "rate"


def test_counters_of_a_device_count_like_scores(model: Path, tmp_path: Path, capsys: Any) -> None:
    """Differences of counters are counted; a device that starts again counts from 0; drift is found as well."""
    assert cli.main(["monitor", "--model", str(model), "--counter-edges"]) == 0
    edges = np.array(json.loads(capsys.readouterr().out)["counter_edges"])
    reference = Reference.of(HELD_OUT, float(HELD_OUT.max()))

    def count(scores: np.ndarray) -> np.ndarray:
        counters = np.where(scores >= reference.threshold, len(edges) + 1, np.searchsorted(edges, scores, "right"))
        return np.bincount(counters, minlength=len(edges) + 2)

    first, second, third = calm(400), calm(100, 4), calm(300, 5) + 0.5
    reports = [count(first), count(first) + count(second), count(third)]  # the last after a restart
    lines = tmp_path / "lines.jsonl"
    text = [json.dumps({"counters": each.tolist(), "device": "line 3"}) + "\n" for each in reports]
    lines.write_text("".join(text[:2]))
    assert not watch(model, lines, counters=True)
    assert state_of(model)["images"] == 500
    lines.write_text("".join(text))
    assert watch(model, lines, counters=True)
    assert state_of(model)["images"] == 800
    assert state_of(model)["flagged"] == sum(int(each[-1]) for each in (reports[1], reports[2]))


def test_memory_and_state_do_not_grow(model: Path, tmp_path: Path) -> None:
    """After several times as many images, the state is hardly larger."""
    lines, sizes = tmp_path / "lines.jsonl", []
    for count in (200, 1500):
        lines.write_text("".join(lines_of(calm(count, count), grids=True)))
        watch(model, lines, reset=True)
        sizes.append(len(json.dumps(state_of(model))))
    assert sizes[1] < 2 * sizes[0]


def test_the_page_shows_the_alarm_and_where_it_is(model: Path, tmp_path: Path) -> None:
    """In Chromium: no request, no complaint; the position that moved is the reddest; names are escaped."""
    lines, page_file = tmp_path / "lines.jsonl", tmp_path / "page.html"
    text = "".join(lines_of(np.concatenate([calm(300), calm(80, 3) + 0.6]), grids=True))
    lines.write_text(text.replace("photos/", "<script>alert(1)</script>"))
    assert watch(model, lines, page=page_file)
    with opened(page_file.as_uri()) as page:
        assert "became higher" in page.locator("section.alarm").first.inner_text()
        assert page.locator("script").count() == 0
        squares = page.locator("rect.up, rect.down")
        titles = squares.locator("title").all_text_contents()
        moved = {title.split(":")[0]: float(title.split(":")[1]) for title in titles}
        assert len(moved) == 25
        assert max(moved, key=lambda each: moved[each]) == "row 2, column 3"
        assert page.locator("polyline.drift").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_states_of_another_training_are_refused(model: Path, capsys: Any) -> None:
    """A state file that lies beside another model, or is damaged, says so in one sentence."""
    state = model.with_name(state_file.FILE)
    other = state_file.for_model("model.tflite", b"another model", HELD_OUT)
    objects = io.BytesIO()
    np.savez(objects, version=np.array({1: 2}, object))
    for content in (state_file.pack(other), state.read_bytes()[:-30], b"", objects.getvalue()):
        state.write_bytes(content)
        assert cli.main(["monitor", "--model", str(model), "--status"]) == 1
        assert "train" in capsys.readouterr().err
