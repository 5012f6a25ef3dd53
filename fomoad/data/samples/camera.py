"""Light on a canvas, and the camera that photographs it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from fomoad.data.samples.canvas import Canvas, Plane

DISPLAY_GAMMA: Final = 1 / 2.2


@dataclass(frozen=True)
class Light:
    """One lamp, the room's light, and a bright strip (a window, a tube) that shiny surfaces mirror."""

    lamp: tuple[float, float, float]
    """Unit vector towards the lamp: x to the right, y down, z to the camera."""
    room: float
    falloff: tuple[float, float]
    """How much brighter the scene gets per photo unit, to the right and down."""
    strip_angle: float
    strip_place: float
    strip_strength: float


@dataclass(frozen=True)
class Camera:
    """What the camera does with the light."""

    exposure: float
    tint: tuple[float, float, float]
    blur: float
    """Standard deviation in pixels of the photo."""
    noise: float
    """Standard deviation of a mid grey pixel's noise, as a share of white."""
    vignette: float


def random_light(rng: Generator, variation: float) -> Light:
    """Return the light of one photo: a lamp at the upper left, never quite in the same place."""
    azimuth = np.radians(-130 + variation * rng.normal(0, 9))
    elevation = np.radians(52 + variation * rng.normal(0, 3))
    lamp = (np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation))
    return Light(
        lamp=(float(lamp[0]), float(lamp[1]), float(lamp[2])),
        room=0.33 + variation * rng.uniform(-0.04, 0.04),
        falloff=(variation * rng.normal(-0.06, 0.05), variation * rng.normal(-0.06, 0.05)),
        strip_angle=0.6 + variation * rng.normal(0, 0.12),
        strip_place=variation * rng.uniform(-0.35, 0.35),
        strip_strength=rng.uniform(0.1, 0.3),
    )


def random_camera(rng: Generator, variation: float) -> Camera:
    """Return the camera's state at one photo."""
    warmth = variation * rng.normal(0, 0.012)
    return Camera(
        exposure=float(np.exp(variation * rng.normal(0, 0.07))),
        tint=(1 + warmth, 1.0, 1 - warmth),
        blur=0.45 + variation * rng.uniform(0, 0.25),
        noise=0.011 + 0.005 * variation * rng.uniform(0, 1),
        vignette=0.12,
    )


def illuminate(canvas: Canvas, light: Light) -> NDArray[np.float32]:
    """Return the light that reaches the camera, linear, shape (side, side, 3): Lambert and Blinn-Phong shading."""
    step = 2 / canvas.side
    down, across = np.gradient(canvas.relief, step)
    length = np.sqrt(across**2 + down**2 + 1)
    lamp_x, lamp_y, lamp_z = (np.float32(v) for v in light.lamp)
    matt = np.clip((lamp_z - lamp_x * across - lamp_y * down) / length, 0, None)
    half_z = np.sqrt((1 + lamp_z) / 2)
    half_x, half_y = lamp_x / (2 * half_z), lamp_y / (2 * half_z)
    mirrored = np.clip((half_z - half_x * across - half_y * down) / length, 0, 1) ** 24
    place_x, place_y = _photo_axes(canvas.side)
    strip = np.cos(light.strip_angle) * place_x + np.sin(light.strip_angle) * place_y - light.strip_place
    # The strip moves over a surface as the surface tilts.
    strip = strip + np.float32(0.8) * (across + down)
    shine = canvas.gloss * (0.9 * mirrored + light.strip_strength * np.exp(-((strip / 0.3) ** 2)))
    brightness = 1 + light.falloff[0] * place_x + light.falloff[1] * place_y
    lit = canvas.colour * (light.room + matt)[..., None] + shine[..., None]
    return np.asarray(lit * brightness[..., None])


def photograph(scene: NDArray[np.float32], factor: int, camera: Camera, rng: Generator) -> NDArray[np.uint8]:
    """Return the photo (side / factor, side / factor, 3) of a scene (side, side, 3) in linear light."""
    side = scene.shape[0] // factor
    photo = scene.reshape(side, factor, side, factor, 3).mean(axis=(1, 3))
    photo = _blurred(_blurred(photo, camera.blur, axis=0), camera.blur, axis=1)
    across, down = _photo_axes(side)
    photo *= (camera.exposure * (1 - camera.vignette * (across**2 + down**2) / 2))[..., None]
    photo *= np.asarray(camera.tint, np.float32)
    # Shot noise grows with the square root of the light.
    spread = camera.noise * np.sqrt(0.1 + 1.8 * np.clip(photo, 0, 1))
    photo += spread * np.asarray(rng.normal(size=photo.shape), np.float32)
    shown: NDArray[np.uint8] = np.rint(255 * np.clip(photo, 0, 1) ** DISPLAY_GAMMA).astype(np.uint8)
    return shown


def _photo_axes(side: int) -> tuple[Plane, Plane]:
    """Return coordinates (1, side) and (side, 1) from -1 to 1."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) * (2 / side)) - 1
    return axis[None, :], axis[:, None]


def _blurred(image: NDArray[np.float32], deviation: float, axis: int) -> NDArray[np.float32]:
    """Return the image blurred along one axis by a Gaussian of up to about a pixel."""
    reach = 2
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2).astype(np.float32)
    weights /= weights.sum()
    padding = [(reach, reach) if a == axis else (0, 0) for a in range(image.ndim)]
    padded = np.pad(image, padding, mode="edge")
    size = image.shape[axis]
    shifted = [np.take(padded, range(s, s + size), axis=axis) for s in range(2 * reach + 1)]
    return sum((w * s for w, s in zip(weights, shifted, strict=True)), np.zeros_like(image))
