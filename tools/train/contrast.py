"""Contrast made at random, while training: no scanner's grey values may become a habit of the network.

A slice enters in two contrasts that were imaged from the same tissues. Either is kept, mostly the less usual one, since
hospitals image knees without fat suppression as well; or both are bent by random curves and mixed, and structures get
greys of their own. Then come gamma, coil shading, blur, poor resolution and noise.
"""

import functools

import cv2
import numpy as np
from numpy.typing import NDArray

from services.common.finding import Structure

Picture = NDArray[np.float32]
BONES = (Structure.FEMUR, Structure.TIBIA, Structure.PATELLA, Structure.FIBULA)
CARTILAGES = tuple(range(Structure.FEMORAL_CARTILAGE, Structure.PATELLAR_CARTILAGE + 1))
LABEL_VALUES = 256  # voxels without a label keep their grey, like background


def curve(rng: np.random.Generator) -> Picture:
    """A random continuous grey curve (256,), 0..1; one time in two it may fall as well as rise."""
    knots = np.sort(rng.uniform(0, 255, 3))
    values = rng.uniform(0, 1, 5)
    if rng.random() < 0.5:
        values.sort()
    if rng.random() < 0.6:
        values[0] = 0.0  # air stays black, as nearly always
    return np.interp(np.arange(256), [0, *knots, 255], values).astype(np.float32)


def structure_greys(rng: np.random.Generator, *, spread: float) -> Picture:
    """A grey offset for each label (256,); bones mostly alike, cartilages mostly alike, background none."""
    offset = np.zeros(LABEL_VALUES, dtype=np.float32)
    offset[1 : len(Structure)] = rng.normal(0, spread, len(Structure) - 1)
    # fluid is the brightest or the darkest there is, never the grey of what surrounds it
    offset[Structure.EFFUSION] = rng.choice([-1, 1]) * rng.uniform(1, 3) * spread
    for group in (BONES, CARTILAGES):
        if rng.random() < 0.85:
            offset[list(group)] = offset[group[0]] + rng.normal(0, 0.03, len(group)).astype(np.float32)
    return offset


def mixed(
    clinical: NDArray[np.uint8], other: NDArray[np.uint8], labels: NDArray[np.uint8], rng: np.random.Generator
) -> Picture:
    """One contrast out of two imaged ones, ``(3, rows, columns)`` of 0..1 (a little beyond is possible)."""
    choice = rng.random()
    if choice < 0.2:
        return clinical * np.float32(1 / 255)
    if choice < 0.6:
        return other * np.float32(1 / 255)
    share = np.float32(rng.choice([0.0, 1.0, rng.random()], p=[0.25, 0.35, 0.4]))
    picture = share * curve(rng)[clinical] + (1 - share) * curve(rng)[other]
    if rng.random() < 0.6:
        picture += structure_greys(rng, spread=0.15)[labels]
        picture = _blurred(picture, 0.5)
    return _windowed(picture, rng)


def degraded(picture: Picture, rng: np.random.Generator) -> Picture:
    """Gamma, window, coil shading, blur, anisotropic resolution and noise; the network's input range -1..3."""
    picture = np.clip(picture, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.3)))
    if rng.random() < 0.5:
        picture = picture * _shading(picture.shape, rng)
    picture = picture * np.float32(rng.uniform(0.75, 1.3)) + np.float32(rng.normal(0, 0.03))
    if rng.random() < 0.4:
        picture = _blurred(picture, float(rng.uniform(0.3, 1.3)))
    if rng.random() < 0.2:
        picture = _coarse(picture, rng)
    sigma = np.float32(np.abs(rng.normal(0, 0.04)))
    real, imaginary = _noise(picture.shape, rng), _noise(picture.shape, rng)
    picture = np.sqrt((picture + sigma * real) ** 2 + (sigma * imaginary) ** 2)
    return np.clip(picture, 0, 1) * np.float32(4) - np.float32(1)


def clinical(slices: NDArray[np.uint8], rng: np.random.Generator) -> Picture:
    """Slices as they were imaged, ``(3, rows, columns)``, in the small variety of one protocol; range -1..3."""
    picture = (slices * np.float32(1 / 255)) ** np.float32(np.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.5:
        picture = picture * _shading(picture.shape, rng) ** np.float32(0.5)
    if rng.random() < 0.2:
        picture = _blurred(picture, float(rng.uniform(0.3, 0.8)))
    picture = picture + _noise(picture.shape, rng) * np.float32(np.abs(rng.normal(0, 0.015)))
    return np.clip(picture * np.float32(rng.uniform(0.85, 1.15)), 0, 1) * np.float32(4) - np.float32(1)


def _windowed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Stretched to about 0..1, as the serving window does with a whole volume."""
    low, high = np.percentile(picture[:, ::4, ::4], (1, 99))
    reach = max(float(high - low), 0.1) * rng.uniform(0.85, 1.4)
    return (picture - np.float32(low)) * np.float32(1 / reach)


@functools.cache
def _noise_store() -> Picture:
    return np.random.default_rng(0).standard_normal(1 << 21, dtype=np.float32)


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> Picture:
    """Unit normal noise from a store: drawing it fresh would cost as much as everything else here."""
    store, count = _noise_store(), int(np.prod(shape))
    start = int(rng.integers(store.size - count))
    return store[start : start + count].reshape(shape)


def _blurred(picture: Picture, sigma: float) -> Picture:
    return np.stack([cv2.GaussianBlur(each, (0, 0), sigma) for each in picture])


def _coarse(picture: Picture, rng: np.random.Generator) -> Picture:
    rows, columns = picture.shape[1:]
    size = (int(columns * rng.uniform(0.4, 1)), int(rows * rng.uniform(0.4, 1)))
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in picture]
    return np.stack([cv2.resize(each, (columns, rows), interpolation=cv2.INTER_LINEAR) for each in small])


def _shading(shape: tuple[int, ...], rng: np.random.Generator) -> Picture:
    nodes = np.exp(rng.normal(0, 0.25, (4, 4))).astype(np.float32)
    return cv2.resize(nodes, (shape[2], shape[1]), interpolation=cv2.INTER_CUBIC)[None]
