"""What goes wrong in a scanner: shifted fat, ringing, motion, pulsation, fold-over, metal.

Each is simulated where it arises: in the position of fat along the readout, or in k-space, whose lines are acquired one
after another along the phase direction. Rows are the phase direction (head to foot, or front to back in axial slices).
A protocol names the ones it suffers from; none of them looks at the findings.
"""

import numpy as np
from scipy import ndimage

from tools.phantom.protocol import Protocol
from tools.phantom.shapes import Field

ARTEFACTS = ("chemical shift", "ringing", "motion", "pulsation", "fold-over", "metal")
_SHIFT_PPM_HZ_PER_TESLA = 147.0  # fat against water, 3.45 ppm


def disturbed(water: Field, fat: Field, protocol: Protocol, rng: np.random.Generator) -> Field:
    """The slices ``(slice, row, column)`` of a protocol with its artefacts; raises ``ValueError`` for unknown names."""
    unknown = protocol.artefacts - set(ARTEFACTS)
    if unknown:
        message = f"unknown artefacts: {sorted(unknown)}"
        raise ValueError(message)
    if "chemical shift" in protocol.artefacts:
        pixels = _SHIFT_PPM_HZ_PER_TESLA * protocol.sequence.field_tesla / protocol.pixel_bandwidth_hz
        fat = ndimage.shift(fat, (0, 0, pixels), order=1, mode="nearest")
    image = water + fat
    for name, effect in _EFFECTS.items():
        if name in protocol.artefacts:
            image = effect(image, rng)
    return np.ascontiguousarray(image, dtype=np.float32)


def ringing(image: Field, rng: np.random.Generator) -> Field:
    """The acquired matrix is smaller than the shown one: k-space is cut off and filled with zeros (Gibbs)."""
    spectrum, (rows, columns) = _to_k_space(image), image.shape[1:]
    kept_rows, kept_columns = (int(size * rng.uniform(0.55, 0.8)) // 2 for size in (rows, columns))
    mask = np.zeros((rows, columns), dtype=np.float32)
    middle_row, middle_column = rows // 2, columns // 2
    mask[
        middle_row - kept_rows : middle_row + kept_rows, middle_column - kept_columns : middle_column + kept_columns
    ] = 1
    return _from_k_space(spectrum * mask)


def motion(image: Field, rng: np.random.Generator) -> Field:
    """The knee moves by up to two pixels while 5 to 20 % of the lines are acquired."""
    rows = image.shape[1]
    phase = np.zeros(rows, dtype=np.float32)
    length = int(rows * rng.uniform(0.05, 0.2))
    # the middle lines hold the contrast; motion there would be a failed series, not an artefact
    start = int(rng.integers(0, rows // 2 - length - 4)) + (rows // 2 + 4) * int(rng.random() < 0.5)
    phase[start : start + length] = rng.uniform(0.5, 2) * rng.choice([-1, 1])
    frequency = np.fft.fftshift(np.fft.fftfreq(rows)).astype(np.float32)
    moved = np.exp(-2j * np.pi * frequency * phase).astype(np.complex64)
    return _from_k_space(_to_k_space(image) * moved[:, None])


def pulsation(image: Field, rng: np.random.Generator) -> Field:
    """The brightest vessel behind the joint is repeated along the phase direction, ever fainter."""
    behind = ndimage.gaussian_filter(image, (0, 1, 1))
    ghost = np.where(behind >= np.percentile(behind, 99.3), image, 0)
    distance = int(image.shape[1] * rng.uniform(0.08, 0.2))
    strength = rng.uniform(0.06, 0.2)
    total = image.copy()
    for order in (1, 2):
        for side in (-1, 1):
            total += np.float32(strength / order) * np.roll(ghost, side * order * distance, axis=1)
    return total


def fold_over(image: Field, rng: np.random.Generator) -> Field:
    """What lies beyond the field of view appears at the other edge."""
    width = int(image.shape[1] * rng.uniform(0.04, 0.12))
    folded = image.copy()
    folded[:, :width] += np.float32(0.7) * image[:, :width][:, ::-1]
    return folded


def metal(image: Field, rng: np.random.Generator) -> Field:
    """A signal void with a bright rim, some millimetres around a screw."""
    slices, rows, columns = image.shape
    place = rng.uniform(0.3, 0.7, 3) * (slices, rows, columns)
    z, r, c = np.ogrid[:slices, :rows, :columns]
    radius = rows * rng.uniform(0.03, 0.06)
    distance = np.sqrt(((z - place[0]) * radius / 2) ** 2 + (r - place[1]) ** 2 + ((c - place[2]) * 0.7) ** 2)
    rim = 1 + 1.5 * np.exp(-(((distance - radius) / 2) ** 2))
    return np.asarray(np.where(distance < radius, 0, image * rim), dtype=np.float32)


_EFFECTS = {"ringing": ringing, "motion": motion, "pulsation": pulsation, "fold-over": fold_over, "metal": metal}


def _to_k_space(image: Field) -> np.ndarray[tuple[int, ...], np.dtype[np.complex64]]:
    return np.fft.fftshift(np.fft.fft2(image, axes=(1, 2)), axes=(1, 2)).astype(np.complex64)


def _from_k_space(spectrum: np.ndarray[tuple[int, ...], np.dtype[np.complex64]]) -> Field:
    return np.abs(np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(1, 2)), axes=(1, 2))).astype(np.float32)
