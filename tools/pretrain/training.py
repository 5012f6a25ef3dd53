"""Distillation: block by block on the teacher's inputs, then the whole network on images, then by a wider teacher.

The first stage starts from random kernels. All learn by gradient descent alone (Adam) to give the teachers' features.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

from fomoad.progress import log, track
from tools.pretrain.network import (
    EXPANDED,
    LAST,
    SCORED,
    Arrays,
    Params,
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

WHOLE = (1e-3, 32)
"""Learning rate and batch of the second stage."""

OWN = 0.1
"""How much an error beside the teacher of the same width counts in the third stage."""

FREE = {name for name in SCORED if "depthwise" in name}
"""Layers within a block, whose channels the next layer may scale back: they are taught through a map alone."""

RIDGE = 1e-3
"""Shrinkage of the first linear maps, as a variance of the features."""

LARGEST_GRADIENT = 5.0
SECONDS_BETWEEN_LINES = 8.0
AVERAGED = 20
"""The averaged weights span about one part in this many of all steps."""

STEPS_PER_CHECKPOINT = 1000


@dataclass(frozen=True)
class Lesson:
    """Images and what the teacher makes of them.

    images: uint8 (N, side, side, 3). features: block name -> float16 (N, rows, columns, channels), the outputs of
    blocks 1 to 9. whiteners: tap name -> (channels, channels). teacher: the teacher's arrays.
    """

    images: NDArray[np.uint8]
    features: dict[str, NDArray[np.float16]]
    whiteners: dict[str, tf.Tensor]
    teacher: dict[str, tf.Tensor]


Batch = tuple[tf.Tensor, dict[str, tf.Tensor]]
"""Inputs of the first block that is trained, and targets that were kept."""


class Plan(NamedTuple):
    """How long to train: steps, the highest learning rate (it falls to zero along a cosine), images a batch."""

    steps: int
    rate: float
    batch: int


def whitener(features: NDArray[np.float32], power: float = 1.0) -> NDArray[np.float32]:
    """Symmetric whitening matrix (D, D) of features (..., D), shrunk, scaled so that all variances come to 1.

    A `power` of 0.5 whitens half, as the scorers do.
    """
    flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    values = np.maximum(values, 0)
    gains = (values + SHRINKAGE * values.max()) ** (-power / 2)
    share = np.sum(values * gains**2)
    return ((vectors * (gains / np.sqrt(share))) @ vectors.T).astype(np.float32)


def calibrate(arrays: Arrays, images: NDArray[np.uint8]) -> Arrays:
    """Set the batch-normalisation statistics of an untrained network to those of some images, and leave them.

    Training then goes on with stored statistics, exactly as the network is used afterwards.
    """
    params = {name: tf.Variable(value) for name, value in arrays.items()}
    run(params, scale_pixels(images), 0, LAST, batch_norm)
    return {name: np.asarray(value) for name, value in params.items()}


def make_lesson(teacher: Arrays, images: NDArray[np.uint8], folder: Path | None) -> Lesson:
    """Run the teacher over some images; over all, and keep its block outputs, float16, where there is a `folder`.

    The first stage needs them.
    """
    params = {name: tf.constant(value) for name, value in teacher.items()}
    forward = tf.function(lambda x: run(params, x, 0, LAST, stored_norm))
    sample = {name: np.asarray(tap) for name, tap in forward(scale_pixels(images[:512])).items()}
    whiteners = {name: tf.constant(whitener(tap)) for name, tap in sample.items() if name not in FREE}
    if folder is None:
        return Lesson(images, {}, whiteners, params)
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


def residuals(lesson: Lesson, taps: dict[str, tf.Tensor], targets: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Mean squared whitened error of each tap, as a share of the teacher's own (whitened) variance."""
    return {
        name: tf.reduce_mean(tf.reduce_sum(tf.square((tap - targets[name]) @ lesson.whiteners[name]), -1))
        for name, tap in taps.items()
        if name in targets and name in lesson.whiteners
    }


def train_blocks(lesson: Lesson, arrays: Arrays, seed: int) -> Arrays:
    """First stage: every segment alone, fed with the teacher's features, in two rounds."""
    for number, (steps, rate, share) in enumerate(ROUNDS):
        for first, last, batch in SEGMENTS:
            log(f"Training blocks {first} to {last} on the teacher's inputs")
            plan = Plan(steps, rate, share * batch)
            arrays = _train_segment(lesson, arrays, first, last, plan, seed + 100 * number + first)
    return arrays


def _train_segment(lesson: Lesson, arrays: Arrays, first: int, last: int, plan: Plan, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    names = [f"block_{i}" for i in range(max(first, 1), min(last, LAST - 1) + 1)]
    before = [f"block_{int(s[6:]) - 1}" for s in EXPANDED if first <= int(s[6:]) <= last]

    def draw() -> Batch:
        rows = np.sort(rng.choice(len(lesson.images), plan.batch, replace=False))
        kept = {name: tf.constant(lesson.features[name][rows], tf.float32) for name in sorted({*names, *before})}
        if first == 0:
            return tf.constant(scale_pixels(lesson.images[rows])), kept
        return tf.constant(lesson.features[f"block_{first - 1}"][rows], tf.float32), kept

    def errors(params: Params, x: tf.Tensor, kept: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        targets = _with_computed(lesson, x, kept, first, last)
        return residuals(lesson, run(params, x, first, last, stored_norm), targets)

    return _descend(arrays, errors, draw, plan)


def _with_computed(
    lesson: Lesson, x: tf.Tensor, targets: dict[str, tf.Tensor], first: int, last: int
) -> dict[str, tf.Tensor]:
    """Add what is cheaper to compute than to keep: the first block's output and the expanded layers."""
    result = dict(targets)
    if first == 0:
        result |= run(lesson.teacher, x, 0, 0, stored_norm)
    for prefix in EXPANDED:
        index = int(prefix[6:])
        if first <= index <= last:
            layer = f"{prefix}_expand"
            expanded = tf.nn.conv2d(targets[f"block_{index - 1}"], lesson.teacher[f"{layer}/kernel"], 1, "SAME")
            result[f"{layer}_relu"] = tf.nn.relu6(stored_norm(lesson.teacher, expanded, f"{layer}_BN"))
    return result


def train_whole(
    lesson: Lesson, arrays: Arrays, plan: Plan, seed: int, on_checkpoint: Callable[[Arrays], None]
) -> Arrays:
    """Second stage: all blocks at once on images, as the network will be used. Images are turned and recoloured."""
    log("Training the whole network on images")

    def errors(params: Params, x: tf.Tensor, kept: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        targets = run(lesson.teacher, x, 0, LAST, stored_norm)
        return residuals(lesson, run(params, x, 0, LAST, stored_norm), targets)

    return _descend(arrays, errors, _images(lesson, plan, np.random.default_rng(seed)), plan, on_checkpoint)


def _images(lesson: Lesson, plan: Plan, rng: np.random.Generator) -> Callable[[], Batch]:
    """Draws a batch of images, turned."""

    def draw() -> Batch:
        rows = np.sort(rng.choice(len(lesson.images), plan.batch, replace=False))
        return tf.constant(scale_pixels(turned(lesson.images[rows], rng))), {}

    return draw


def train_wider(
    lesson: Lesson, wider: Arrays, arrays: Arrays, plan: Plan, seed: int, on_checkpoint: Callable[[Arrays], None]
) -> Arrays:
    """Third stage: the scored layers, seen through linear maps that training alone uses, give those of a wider network.

    The maps lead to the wider network's features, half whitened as the scorers see them. The teacher of the same width
    still counts, by OWN, so that what it knows is not lost.
    """
    log("Training the whole network by a wider teacher")
    teacher = {name: tf.constant(value) for name, value in wider.items()}
    sample = scale_pixels(lesson.images[:512])
    expected, given = (run(each, sample, 0, LAST, stored_norm) for each in (teacher, arrays))
    whiteners = {name: tf.constant(whitener(np.asarray(expected[name]), power=0.5)) for name in SCORED}
    maps: Arrays = {}
    for name in SCORED:
        kernel, bias = linear_map(np.asarray(given[name]), np.asarray(expected[name] @ whiteners[name]))
        maps |= {f"{name}/kernel": kernel, f"{name}/bias": bias}
    rng = np.random.default_rng(seed)

    def errors(params: Params, x: tf.Tensor, kept: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        own = run(lesson.teacher, x, 0, LAST, stored_norm)
        wide = run(teacher, x, 0, LAST, stored_norm)
        taps = run(params, x, 0, LAST, stored_norm)
        shares = {name: OWN * share for name, share in residuals(lesson, taps, own).items()}
        for name in SCORED:
            missed = taps[name] @ params[f"{name}/kernel"] + params[f"{name}/bias"] - wide[name] @ whiteners[name]
            shares[f"wider {name}"] = tf.reduce_mean(tf.reduce_sum(tf.square(missed), -1))
        return shares

    def without_maps(found: Arrays) -> Arrays:
        return {name: found[name] for name in arrays}

    found = _descend(
        {**arrays, **maps}, errors, _images(lesson, plan, rng), plan, lambda now: on_checkpoint(without_maps(now))
    )
    return without_maps(found)


def linear_map(
    inputs: NDArray[np.float32], outputs: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Kernel (C, D) and bias (D,) of the least squares from inputs (..., C) to outputs (..., D), a little shrunk."""
    model = Ridge(alpha=RIDGE * inputs.size / inputs.shape[-1])
    model.fit(inputs.reshape(-1, inputs.shape[-1]), outputs.reshape(-1, outputs.shape[-1]))
    return model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)


def turned(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Images (N, side, side, 3) in one of the eight ways to lay a square, their colours swapped: 48 in place of one."""
    images = images[..., rng.permutation(3)]
    if rng.random() < 0.5:
        images = images.transpose(0, 2, 1, 3)
    return images[:, :: rng.choice((-1, 1)), :: rng.choice((-1, 1))]


def _descend(
    arrays: Arrays,
    errors: Callable[[Params, tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    draw: Callable[[], Batch],
    plan: Plan,
    on_checkpoint: Callable[[Arrays], None] | None = None,
) -> Arrays:
    """Lower the sum of the errors by the plan. `on_checkpoint` gets the arrays now and then.

    Returns all arrays, those that the errors depend on as the exponential average of the last steps.
    """
    params = {name: tf.Variable(value, trainable="moving" not in name) for name, value in arrays.items()}
    with tf.GradientTape() as tape:
        errors(params, *draw())
    read = {id(variable) for variable in tape.watched_variables()}
    averages = {name: tf.Variable(value, trainable=False) for name, value in params.items() if id(value) in read}
    step = _make_step(errors, params, averages, plan)
    start = last_line = time.monotonic()
    for number in range(1, plan.steps + 1):
        shares = step(*draw())
        if time.monotonic() - last_line > SECONDS_BETWEEN_LINES or number == plan.steps:
            last_line = time.monotonic()
            speed = number * plan.batch / (last_line - start)
            line = " ".join(f"{name.removeprefix('block_')} {float(e):.4f}" for name, e in shares.items())
            log(f"  step {number} of {plan.steps}, {speed:.0f} images/s, error shares: {line}")
        if on_checkpoint and number % STEPS_PER_CHECKPOINT == 0:
            on_checkpoint(arrays | {name: np.asarray(value) for name, value in averages.items()})
    return arrays | {name: np.asarray(value) for name, value in averages.items()}


def _make_step(
    errors: Callable[[Params, tf.Tensor, dict[str, tf.Tensor]], dict[str, tf.Tensor]],
    params: dict[str, tf.Variable],
    averages: dict[str, tf.Variable],
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
        with tf.GradientTape() as tape:
            shares = errors(params, x, kept)
            loss = tf.add_n(list(shares.values()))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, trained), LARGEST_GRADIENT)
        optimiser.apply_gradients(zip(gradients, trained, strict=True))
        for average, variable in zip(averages.values(), trained, strict=True):
            average.assign_add(forgetting * (variable - average))
        return shares

    return step
