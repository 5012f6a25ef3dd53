"""Distillation: block by block on the teacher's inputs, then the whole network on images.

Both stages start from random kernels and learn by gradient descent alone (Adam) to give the teacher's features.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from fomoad.progress import log, track
from tools.pretrain.network import (
    LAST,
    SCORED,
    Arrays,
    batch_norm,
    run,
    scale_pixels,
    stored_norm,
)

SEGMENTS = ((0, 1, 4), (2, 2, 6), (3, 3, 6), (4, 4, 12), (5, 5, 12), (6, 6, 12), (7, 7, 24), (8, 8, 24), (9, LAST, 24))
"""Blocks trained together in the first stage, first and last, and images a batch: few where the grid is large.

The first segment starts from the image."""

ROUNDS = ((700, 1e-2, 1), (2500, 6e-3, 2))
"""Steps, learning rate and batch (a multiple of the segment's) of the first stage's rounds."""

SHRINKAGE = 0.02
"""Added to each eigenvalue, as a share of the largest: keeps whitening from blowing up empty directions."""

LARGEST_GRADIENT = 5.0
SECONDS_BETWEEN_LINES = 8.0
AVERAGED = 20
"""The averaged weights span about one part in this many of all steps."""

STEPS_PER_CHECKPOINT = 500


@dataclass(frozen=True)
class Lesson:
    """Images and what the teacher makes of them.

    images: uint8 (N, side, side, 3). features: block name -> float16 (N, rows, columns, channels), the outputs of
    blocks 1 to 9. whiteners: tap name -> (channels, channels).
    """

    images: NDArray[np.uint8]
    features: dict[str, NDArray[np.float16]]
    whiteners: dict[str, tf.Tensor]
    teacher: dict[str, tf.Tensor]


class Plan(NamedTuple):
    """How long to train: steps, the highest learning rate (it falls to zero along a cosine), images a batch."""

    steps: int
    rate: float
    batch: int


def whitener(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Symmetric whitening matrix (D, D) of features (..., D), shrunk, scaled to mean variance 1 over directions."""
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    values = np.maximum(values, 0)
    gains = 1 / np.sqrt(values + SHRINKAGE * values.max())
    share = np.sum(values * gains**2)
    return ((vectors * (gains / np.sqrt(share))) @ vectors.T).astype(np.float32)


def calibrate(arrays: Arrays, images: NDArray[np.uint8]) -> Arrays:
    """Set the batch-normalisation statistics of an untrained network to those of some images, and leave them.

    Training then goes on with stored statistics, exactly as the network is used afterwards.
    """
    params = {name: tf.Variable(value) for name, value in arrays.items()}
    run(params, scale_pixels(images), 0, LAST, batch_norm)
    return {name: np.asarray(value) for name, value in params.items()}


def make_lesson(teacher: Arrays, images: NDArray[np.uint8], folder: Path) -> Lesson:
    """Run the teacher once over the images and keep its block outputs, float16, in files under `folder`."""
    params = {name: tf.constant(value) for name, value in teacher.items()}
    forward = tf.function(lambda x: run(params, x, 0, LAST, stored_norm))
    sample = {name: np.asarray(tap) for name, tap in forward(scale_pixels(images[:512])).items()}
    whiteners = {name: tf.constant(whitener(tap)) for name, tap in sample.items()}
    kept = [f"block_{index}" for index in range(1, LAST)]
    files = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float16, (len(images), *sample[name].shape[1:])
        )
        for name in kept
    }
    starts = range(0, len(images), 100)
    for start in track(starts, "Running the teacher", len(images), lambda _: 100):
        taps = forward(scale_pixels(images[start : start + 100]))
        for name in kept:
            files[name][start : start + 100] = np.asarray(taps[name])
    return Lesson(images, dict(files), whiteners, params)


def _targets(lesson: Lesson, rows: NDArray[np.integer], first: int, last: int) -> dict[str, tf.Tensor]:
    """What the teacher gives for some images, for the taps of blocks `first` to `last`."""
    names = [f"block_{i}" for i in range(max(first, 1), min(last, LAST - 1) + 1)]
    needed = set(names) | {f"block_{int(s[6:]) - 1}" for s in SCORED if first <= int(s[6:]) <= last}
    return {name: tf.constant(lesson.features[name][rows], tf.float32) for name in sorted(needed)}


def _inputs(lesson: Lesson, rows: NDArray[np.integer], first: int) -> tf.Tensor:
    if first == 0:
        return tf.constant(scale_pixels(lesson.images[rows]))
    return tf.constant(lesson.features[f"block_{first - 1}"][rows], tf.float32)


def _with_computed(
    lesson: Lesson, x: tf.Tensor, targets: dict[str, tf.Tensor], first: int, last: int
) -> dict[str, tf.Tensor]:
    """Add what is cheaper to compute than to keep: the first block's output and the scored layers."""
    result = dict(targets)
    if first == 0:
        result |= run(lesson.teacher, x, 0, 0, stored_norm)
    for prefix in SCORED:
        index = int(prefix[6:])
        if first <= index <= last:
            layer = f"{prefix}_expand"
            expanded = tf.nn.conv2d(targets[f"block_{index - 1}"], lesson.teacher[f"{layer}/kernel"], 1, "SAME")
            result[f"{layer}_relu"] = tf.nn.relu6(stored_norm(lesson.teacher, expanded, f"{layer}_BN"))
    return result


def residuals(lesson: Lesson, taps: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Mean squared whitened error of each tap, as a share of the teacher's own (whitened) variance."""
    return {
        name: tf.reduce_mean(tf.reduce_sum(tf.square((tap - targets[name]) @ lesson.whiteners[name]), -1))
        for name, tap in taps.items()
        if name in targets
    }


def train(
    lesson: Lesson,
    arrays: Arrays,
    first: int,
    last: int,
    plan: Plan,
    seed: int,
    on_checkpoint: Callable[[Arrays], None] | None = None,
) -> Arrays:
    """Train blocks `first` to `last` by the plan; the others stay. `on_checkpoint` gets the arrays now and then.

    Returns all arrays, the trained ones as the exponential average of the last steps.
    """
    params = {name: tf.Variable(value, trainable="moving" not in name) for name, value in arrays.items()}
    averages = _used(params, _inputs(lesson, np.arange(1), first), first, last)
    step = _make_step(lesson, params, averages, first, last, plan)
    rng = np.random.default_rng(seed)
    start = last_line = time.monotonic()
    for number in range(1, plan.steps + 1):
        rows = np.sort(rng.choice(len(lesson.images), plan.batch, replace=False))
        errors = step(_inputs(lesson, rows, first), _targets(lesson, rows, first, last))
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES or number == plan.steps:
            last_line = time.monotonic()
            speed = number * plan.batch / (last_line - start)
            shares = " ".join(f"{name.removeprefix('block_')} {float(e):.4f}" for name, e in errors.items())
            log(f"  step {number} of {plan.steps}, {speed:.0f} images/s, error shares: {shares}")
        if on_checkpoint and number % STEPS_PER_CHECKPOINT == 0:
            on_checkpoint(arrays | {name: np.asarray(value) for name, value in averages.items()})
    return arrays | {name: np.asarray(value) for name, value in averages.items()}


def _used(params: dict[str, tf.Variable], x: tf.Tensor, first: int, last: int) -> dict[str, tf.Variable]:
    """Copies, by name, of the trainable variables that blocks `first` to `last` read."""
    with tf.GradientTape() as tape:
        run(params, x, first, last, stored_norm)
    read = {id(variable) for variable in tape.watched_variables()}
    return {name: tf.Variable(value, trainable=False) for name, value in params.items() if id(value) in read}


def _make_step(
    lesson: Lesson,
    params: dict[str, tf.Variable],
    averages: dict[str, tf.Variable],
    first: int,
    last: int,
    plan: Plan,
) -> Callable[[tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]]:
    """One step of gradient descent on a batch's inputs and kept targets; gives the error of every tap."""
    warm_up = max(plan.steps // 50, 1)
    schedule = tf.keras.optimizers.schedules.CosineDecay(plan.rate / 20, plan.steps, 0.0, "cosine", plan.rate, warm_up)
    optimiser = tf.keras.optimizers.Adam(schedule, beta_2=0.99)
    trained = [params[name] for name in averages]
    optimiser.build(trained)
    forgetting = min(AVERAGED / plan.steps, 1.0)

    @tf.function
    def step(x: tf.Tensor, kept: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        targets = _with_computed(lesson, x, kept, first, last)
        with tf.GradientTape() as tape:
            errors = residuals(lesson, run(params, x, first, last, stored_norm), targets)
            loss = tf.add_n(list(errors.values()))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, trained), LARGEST_GRADIENT)
        optimiser.apply_gradients(zip(gradients, trained, strict=True))
        for average, variable in zip(averages.values(), trained, strict=True):
            average.assign_add(forgetting * (variable - average))
        return errors

    return step


def train_blocks(lesson: Lesson, arrays: Arrays, seed: int) -> Arrays:
    """First stage: every segment alone, fed with the teacher's features, in two rounds."""
    for number, (steps, rate, share) in enumerate(ROUNDS):
        for first, last, batch in SEGMENTS:
            log(f"Training blocks {first} to {last} on the teacher's inputs")
            plan = Plan(steps, rate, share * batch)
            arrays = train(lesson, arrays, first, last, plan, seed + 100 * number + first)
    return arrays


def train_whole(
    lesson: Lesson, arrays: Arrays, steps: int, seed: int, on_checkpoint: Callable[[Arrays], None]
) -> Arrays:
    """Second stage: all blocks at once on images, as the network will be used."""
    log("Training the whole network on images")
    return train(lesson, arrays, 0, LAST, Plan(steps, 6e-4, 8), seed, on_checkpoint)
