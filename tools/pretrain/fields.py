"""Scalar fields made by code: noise, periodic patterns, cells, fractals; each float32, (side, side), values 0..1."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Field = NDArray[np.float32]
Rng = np.random.Generator


def normalise(values: NDArray[np.floating]) -> Field:
    """Stretch to 0..1, letting the rarest 2 % of the values on either side saturate."""
    low, high = np.percentile(values, [2, 98])
    return np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)


def coordinates(rng: Rng, side: int, warp: float = 0.3) -> tuple[Field, Field]:
    """Pixel coordinates in -1..1, rotated at random, and with probability `warp` bent by smooth noise."""
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    y, x = np.meshgrid(axis, axis, indexing="ij")
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    u = np.cos(angle) * x + np.sin(angle) * y
    v = np.cos(angle) * y - np.sin(angle) * x
    if rng.random() < warp:
        amount = rng.uniform(0.05, 0.6)
        u = u + amount * (power_noise(rng, side, rng.uniform(2.5, 4)) - 0.5)
        v = v + amount * (power_noise(rng, side, rng.uniform(2.5, 4)) - 0.5)
    return u.astype(np.float32), v.astype(np.float32)


def power_noise(rng: Rng, side: int, exponent: float, stretch: float = 1.0, angle: float = 0.0) -> Field:
    """Gaussian noise with spectrum 1 / frequency^exponent (power), drawn out along `angle` by `stretch`."""
    fy = np.fft.fftfreq(side)[:, None]
    fx = np.fft.rfftfreq(side)[None, :]
    along = np.cos(angle) * fx + np.sin(angle) * fy
    across = np.cos(angle) * fy - np.sin(angle) * fx
    frequency = np.sqrt((along * stretch) ** 2 + across**2 + (0.5 / side) ** 2)
    white = np.fft.rfft2(rng.standard_normal((side, side), np.float32))
    return normalise(np.fft.irfft2(white * frequency ** (-exponent / 2), s=(side, side)))


def noise(rng: Rng, side: int) -> Field:
    """Natural-looking noise of any roughness, a third of it directed (wood, brushed metal, fibres)."""
    stretch = np.exp(rng.uniform(0.5, 3.5)) if rng.random() < 0.35 else 1.0
    return power_noise(rng, side, rng.uniform(0, 3.6), stretch, rng.uniform(0, np.pi))


def band_noise(rng: Rng, side: int) -> Field:
    """Noise of one grain size: difference of two Gaussian blurs."""
    white = rng.standard_normal((side, side)).astype(np.float32)
    sigma = np.exp(rng.uniform(np.log(0.5), np.log(side / 16)))
    return normalise(ndimage.gaussian_filter(white, sigma) - ndimage.gaussian_filter(white, sigma * 1.8))


def marble(rng: Rng, side: int) -> Field:
    """Ridges, contour lines or islands of smooth noise."""
    base = power_noise(rng, side, rng.uniform(1.8, 3.6))
    kind = rng.integers(3)
    if kind == 0:
        return np.abs(2 * base - 1).astype(np.float32) ** np.float32(rng.uniform(0.3, 1.5))
    if kind == 1:
        return (0.5 + 0.5 * np.sin(base * rng.uniform(6, 60))).astype(np.float32)
    return np.clip((base - rng.uniform(0.3, 0.7)) * np.exp(rng.uniform(1, 4)) + 0.5, 0, 1).astype(np.float32)


def _wave(rng: Rng, phase: Field) -> Field:
    """A sine, a square with soft edges, a saw tooth or narrow lines over `phase` (in periods)."""
    kind = rng.integers(4)
    if kind == 0:
        return (0.5 + 0.5 * np.sin(2 * np.pi * phase)).astype(np.float32)
    fraction = (phase - np.floor(phase)).astype(np.float32)
    if kind == 1:
        return np.clip((np.abs(fraction - 0.5) - rng.uniform(0.1, 0.4)) * 12 + 0.5, 0, 1).astype(np.float32)
    if kind == 2:
        return fraction
    return (np.abs(fraction - 0.5) > 0.5 - rng.uniform(0.03, 0.15)).astype(np.float32)


def grating(rng: Rng, side: int) -> Field:
    """One to three waves, added or multiplied: stripes, plaid, mesh, weave."""
    result = np.ones((side, side), np.float32)
    added = rng.random() < 0.5
    for index in range(rng.integers(1, 4)):
        u, _ = coordinates(rng, side)
        wave = _wave(rng, u * np.exp(rng.uniform(np.log(1), np.log(side / 6))) + rng.uniform(0, 1))
        result = wave if index == 0 else result + wave if added else result * wave
    return result / max(float(result.max()), 1e-6)


def lattice(rng: Rng, side: int) -> Field:
    """Bricks, dots, rings, a checkerboard or tiles of random brightness on a regular lattice."""
    u, v = coordinates(rng, side)
    count = np.exp(rng.uniform(np.log(1.5), np.log(side / 8)))
    v = v * count * rng.choice([1, 1, 2])
    row = np.floor(v)
    u = u * count + rng.choice([0, 0.5]) * (row % 2)
    column = np.floor(u)
    du, dv = u - column - 0.5, v - row - 0.5
    kind = rng.integers(5)
    if kind == 0:
        return (np.maximum(np.abs(du), np.abs(dv)) < rng.uniform(0.3, 0.48)).astype(np.float32)
    radius = np.hypot(du, dv)
    if kind == 1:
        return np.clip((rng.uniform(0.15, 0.45) - radius) * 10 + 0.5, 0, 1).astype(np.float32)
    if kind == 2:
        return (np.abs(radius - rng.uniform(0.2, 0.4)) < rng.uniform(0.05, 0.15)).astype(np.float32)
    if kind == 3:
        return ((row + column) % 2).astype(np.float32)
    brightness = rng.random((64, 64)).astype(np.float32)
    return brightness[row.astype(int) % 64, column.astype(int) % 64]


def cells(rng: Rng, side: int) -> Field:
    """Worley cells: distance to the nearest seed, to the border, or one brightness a cell."""
    count = int(np.exp(rng.uniform(np.log(4), np.log(side * 4))))
    u, v = coordinates(rng, side, 0.2)
    grid = np.stack([u.ravel(), v.ravel() * rng.choice([1, 1, 2, 4])], 1)
    seeds = rng.uniform(grid.min(0), grid.max(0), (count, 2))
    distance, index = cKDTree(seeds).query(grid, k=2)
    kind = rng.integers(4)
    if kind == 0:
        values = distance[:, 0]
    elif kind == 1:
        values = distance[:, 1] - distance[:, 0]
    elif kind == 2:
        values = (distance[:, 1] - distance[:, 0] > rng.uniform(0.01, 0.05)).astype(np.float64)
    else:
        values = rng.random(count)[index[:, 0]]
    return normalise(values.reshape(side, side))


def fractal(rng: Rng, side: int) -> Field:
    """The attractor of two to five random contracting affine maps (iterated function system), by density."""
    maps = rng.integers(2, 6)
    angle, flip = rng.uniform(0, 2 * np.pi, (2, maps))
    scale = rng.uniform(0.3, 0.85, (maps, 2))
    rotate = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1)
    turn = np.array([[np.cos(flip), -np.sin(flip)], [np.sin(flip), np.cos(flip)]]).transpose(2, 0, 1)
    matrices = rotate * scale[:, None, :] @ turn
    shifts = rng.uniform(-1, 1, (maps, 2))
    points = rng.uniform(-1, 1, (1500, 2))
    visited = []
    for round_ in range(22):
        choice = rng.integers(maps, size=len(points))
        points = np.einsum("nij,nj->ni", matrices[choice], points) + shifts[choice]
        if round_ > 6:
            visited.append(points)
    cloud = np.concatenate(visited)
    low, high = np.percentile(cloud, [1, 99], axis=0)
    bins = [np.linspace(low[i], high[i] + 1e-6, side + 1) for i in (0, 1)]
    density = np.histogram2d(cloud[:, 0], cloud[:, 1], bins)[0]
    smooth = ndimage.gaussian_filter(np.log1p(density), rng.uniform(0.3, 1.2))
    return normalise(smooth)


def gradient(rng: Rng, side: int) -> Field:
    """A linear or round ramp."""
    u, v = coordinates(rng, side)
    if rng.random() < 0.5:
        return normalise(u)
    return normalise(np.hypot(u - rng.uniform(-1, 1), v - rng.uniform(-1, 1)))


FIELDS: tuple[Callable[[Rng, int], Field], ...] = (
    noise, noise, noise, band_noise, marble, grating, lattice, cells, fractal, gradient,
)  # fmt: skip


def any_field(rng: Rng, side: int) -> Field:
    """One field of a kind drawn at random; noise is drawn more often than the rest."""
    return FIELDS[rng.integers(len(FIELDS))](rng, side)
