"""Drawn and rendered images: crops of photographs, dead leaves, parts, masks; float32, (side, side, 3), 0..1."""

import functools
import string

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from sklearn.datasets import load_sample_images

from tools.pretrain.fields import Field, Rng, any_field, gradient, normalise, power_noise

Picture = NDArray[np.float32]
SUPERSAMPLING = 2
"""Shapes are drawn this much larger and averaged, so that their edges are smooth."""


@functools.cache
def photographs() -> tuple[Image.Image, ...]:
    """The two photographs that scikit-learn ships (china.jpg, flower.jpg)."""
    return tuple(Image.fromarray(image) for image in load_sample_images().images)


def photo_crop(rng: Rng, side: int) -> Picture:
    """A square of a photograph of any size and angle, mirrored at random, resized to `side`."""
    photo = photographs()[rng.integers(2)]
    size = np.exp(rng.uniform(np.log(40), np.log(420)))
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.5 else rng.integers(4) * np.pi / 2
    reach = size / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
    x, y = (rng.uniform(min(reach, n / 2), max(n - reach, n / 2)) for n in photo.size)
    step_x, step_y = size / side * np.exp(rng.normal(0, 0.15, 2)) * [rng.choice([-1, 1]), 1]
    a, b = np.cos(angle) * step_x, -np.sin(angle) * step_y
    d, e = np.sin(angle) * step_x, np.cos(angle) * step_y
    matrix = (a, b, x - (a + b) * side / 2, d, e, y - (d + e) * side / 2)
    blurred = _shrink_blur(photo, size / side)
    crop = blurred.transform((side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    return np.asarray(crop, np.float32) / 255


def _shrink_blur(photo: Image.Image, step: float) -> Image.Image:
    """The photograph without detail finer than `step` pixels, chosen from a few blurred copies."""
    return _blurred(photographs().index(photo), int(np.clip(np.round(step), 1, 5)))


@functools.cache
def _blurred(index: int, step: int) -> Image.Image:
    photo = np.asarray(photographs()[index], np.float32)
    sigma = 0.35 * step if step > 1 else 0.0
    return Image.fromarray(ndimage.gaussian_filter(photo, (sigma, sigma, 0)).astype(np.uint8))


def palette(rng: Rng, count: int) -> Picture:
    """`count` colours (count, 3): grey, shades of one hue, or free."""
    kind = rng.random()
    grey = rng.random((count, 1)).astype(np.float32)
    if kind < 0.35:
        return np.repeat(grey, 3, 1)
    if kind < 0.7:
        tint = rng.uniform(-0.35, 0.35, 3) + rng.normal(0, 0.06, (count, 3))
        return np.clip(grey + tint, 0, 1).astype(np.float32)
    return rng.random((count, 3)).astype(np.float32)


def colour(rng: Rng, field: Field) -> Picture:
    """Map a field through a ramp of two to five colours."""
    colours = palette(rng, rng.integers(2, 6))
    stops = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(field, stops, colours[:, c]) for c in range(3)], -1).astype(np.float32)


def surface(rng: Rng, side: int) -> Picture:
    """One field in colour, or two mixed through a third."""
    picture = colour(rng, any_field(rng, side))
    if rng.random() < 0.5:
        return picture
    other = colour(rng, any_field(rng, side))
    mask = (any_field(rng, side) * rng.uniform(0.1, 1))[..., None]
    return picture * (1 - mask) + other * mask


def any_texture(rng: Rng, side: int) -> Picture:
    """A surface or a photograph's crop: what shapes are filled with."""
    return photo_crop(rng, side) if rng.random() < 0.5 else surface(rng, side)


def _outline(rng: Rng, centre: NDArray[np.floating], radius: float) -> list[tuple[float, float]]:
    """A polygon: regular, star-like, an irregular blob, or a long bar."""
    corners = int(rng.choice([3, 4, 4, 5, 6, 8, 24, 24]))
    angles = np.linspace(0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 2 * np.pi)
    lengths = radius * (1 + rng.uniform(0, 0.6) * rng.standard_normal(corners)) if rng.random() < 0.5 else radius
    points = np.stack([np.cos(angles), np.sin(angles)], 1) * np.broadcast_to(lengths, corners)[:, None]
    points[:, 0] *= np.exp(rng.normal(0, 0.6))
    turn = rng.uniform(0, 2 * np.pi)
    points = points @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) + centre
    return [(float(x), float(y)) for x, y in points]


def _canvas(side: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (side * SUPERSAMPLING,) * 2)
    return image, ImageDraw.Draw(image)


def _finish(image: Image.Image, side: int) -> Field:
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32) / 255


def shape_mask(rng: Rng, side: int, smallest: float = 0.03, largest: float = 0.6) -> Field:
    """One filled outline, its radius by a power law (a share of the side), at times with a hole."""
    image, draw = _canvas(side)
    radius = side * SUPERSAMPLING * smallest * (largest / smallest) ** rng.random()
    centre = rng.uniform(0, side * SUPERSAMPLING, 2)
    draw.polygon(_outline(rng, centre, radius), fill=255)
    if rng.random() < 0.25:
        draw.polygon(_outline(rng, centre, radius * rng.uniform(0.2, 0.7)), fill=0)
    return _finish(image, side)


def dead_leaves(rng: Rng, side: int) -> Picture:
    """Shapes of power-law sizes that hide one another, flat or textured (Lee, Mumford and Huang 2001)."""
    size = side * SUPERSAMPLING
    count = int(np.exp(rng.uniform(np.log(8), np.log(120))))
    textures = [Image.fromarray((any_texture(rng, side) * 255).astype(np.uint8)).resize((size, size)) for _ in range(3)]
    colours = (palette(rng, 24) * 255).astype(int)
    image = Image.new("RGB", (size, size), tuple(int(c) for c in colours[0]))
    draw = ImageDraw.Draw(image)
    textured = rng.random() ** 2
    for radius in size * 0.5 * (0.03 ** rng.random(count)):
        outline = _outline(rng, rng.uniform(0, size, 2), radius)
        if rng.random() < textured and radius > size * 0.05:
            mask = Image.new("L", (size, size))
            ImageDraw.Draw(mask).polygon(outline, fill=255)
            image.paste(textures[rng.integers(3)], (0, 0), mask)
        else:
            draw.polygon(outline, fill=tuple(int(c) for c in colours[rng.integers(24)]))
    return np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float32) / 255


def shaded(rng: Rng, height: Field, base: Picture) -> Picture:
    """Light a height field from one side: Lambert's cosine and a highlight (Blinn-Phong)."""
    steepness = np.exp(rng.uniform(np.log(2), np.log(25)))
    dy, dx = np.gradient(height * steepness)
    normal = np.stack([-dx, -dy, np.ones_like(dx)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.append(rng.normal(0, 1, 2), rng.uniform(0.3, 2))
    light /= np.linalg.norm(light)
    half = light + np.array([0, 0, 1])
    half /= np.linalg.norm(half)
    diffuse = np.clip(normal @ light, 0, 1)[..., None]
    gloss = np.clip(normal @ half, 0, 1)[..., None] ** np.exp(rng.uniform(1.5, 4.5)) * rng.uniform(0, 0.8)
    ambient = rng.uniform(0.1, 0.5)
    return np.clip(base * (ambient + (1 - ambient) * diffuse) + gloss, 0, 1).astype(np.float32)


def part(rng: Rng, side: int) -> Picture:
    """One to a dozen rounded or bevelled bodies on a ground, shaded, with a soft shadow."""
    ground, body = any_texture(rng, side), any_texture(rng, side)
    masks = [shape_mask(rng, side, 0.08, 0.6) for _ in range(rng.integers(1, 8))]
    mask = np.max(masks, 0)
    depth = ndimage.distance_transform_edt(mask > 0.5).astype(np.float32)
    bevel = rng.uniform(1.5, side / 3)
    height = np.sqrt(np.clip(1 - (1 - np.clip(depth / bevel, 0, 1)) ** 2, 0, None))
    height = height * bevel / 12 + rng.uniform(0, 0.15) * any_field(rng, side)
    shift = rng.integers(-6, 7, 2)
    shadow = ndimage.gaussian_filter(np.roll(mask, shift, (0, 1)), rng.uniform(0.5, 4))[..., None]
    ground = ground * (1 - rng.uniform(0, 0.7) * shadow)
    return ground * (1 - mask[..., None]) + shaded(rng, height, body) * mask[..., None]


def relief(rng: Rng, side: int) -> Picture:
    """A whole field seen as a lit surface."""
    height = any_field(rng, side) + rng.uniform(0, 0.3) * any_field(rng, side)
    base = (
        colour(rng, any_field(rng, side)) if rng.random() < 0.4 else np.broadcast_to(palette(rng, 1), (side, side, 3))
    )
    return shaded(rng, ndimage.gaussian_filter(height, rng.uniform(0.3, 1.5)), base)


def writing_mask(rng: Rng, side: int) -> Field:
    """Lines of random characters of one size and angle."""
    size = int(np.exp(rng.uniform(np.log(10), np.log(side))))
    image, draw = _canvas(side)
    font = _font(size)
    pitch = max(int(size * rng.uniform(0.9, 1.6)), 6)
    letters = list(string.ascii_letters + string.digits + ".,:;-+/()#%&    ")
    for top in range(-size, side * SUPERSAMPLING, pitch):
        line = "".join(rng.choice(letters, max(2, int(3 * side * SUPERSAMPLING / size))))
        draw.text((-size * rng.random(), top), line, fill=255, font=font)
        if rng.random() < 0.3:
            break
    if rng.random() < 0.6:
        image = image.rotate(rng.uniform(0, 360), Image.Resampling.BILINEAR)
    return _finish(image, side)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def stroke_mask(rng: Rng, side: int) -> Field:
    """Lines and curves: scratches, wires, cracks (random walks), hairs."""
    image, draw = _canvas(side)
    scale = side * SUPERSAMPLING
    curl = rng.uniform(0, 1.2) ** 2
    width = max(1, int(np.exp(rng.uniform(0, np.log(8)))))
    for _ in range(int(np.exp(rng.uniform(0, np.log(30))))):
        steps = rng.integers(4, 40)
        heading = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, curl, steps))
        reach = rng.uniform(0.01, 0.08) * scale
        path = rng.uniform(0, scale, 2) + np.cumsum(reach * np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        draw.line([(float(x), float(y)) for x, y in path], fill=int(rng.integers(90, 256)), width=width, joint="curve")
    return _finish(image, side)


def spot_mask(rng: Rng, side: int) -> Field:
    """Soft or sharp spots: dust, pits, stains."""
    dust = np.zeros((side, side), np.float32)
    count = int(np.exp(rng.uniform(0, np.log(60))))
    dust[rng.integers(side, size=count), rng.integers(side, size=count)] = 1
    spread = ndimage.gaussian_filter(dust, np.exp(rng.uniform(np.log(0.5), np.log(6))))
    return np.clip(spread / spread.max() * np.exp(rng.uniform(0, 1.5)), 0, 1).astype(np.float32)


def cloud_mask(rng: Rng, side: int) -> Field:
    """Thresholded smooth noise: worn areas, stains with ragged edges."""
    base = normalise(power_noise(rng, side, rng.uniform(2, 4)) + gradient(rng, side) * rng.uniform(0, 2))
    return np.clip((base - rng.uniform(0.4, 0.9)) * np.exp(rng.uniform(1, 4)), 0, 1).astype(np.float32)
