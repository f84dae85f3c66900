"""From a knee to a series: place the slices in the patient, sum the tissues, add what a scanner adds.

The affine that comes back is true: label volume, lesion masks and image share it, and a left knee is a right knee
mirrored in patient x.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from services.common.finding import Laterality
from services.common.volume import FloatArray, Volume
from tools.phantom.anatomy import Knee, canonical
from tools.phantom.artefacts import disturbed
from tools.phantom.joint import paint_joint
from tools.phantom.lesions import paint_lesions
from tools.phantom.protocol import Protocol, rotation, stack
from tools.phantom.scene import Scene, lesions, render, structures
from tools.phantom.shapes import Field, Points
from tools.phantom.surroundings import paint_surroundings
from tools.phantom.tissues import Tissue, fat_share, signals

THICKNESS_SAMPLES = 2
COARSE = 8


@dataclass(frozen=True, eq=False)
class Acquisition:
    """One series and the truth: image uint16, labels uint8 (``Structure``), lesions uint16 (bit i: ``LABELS[i]``)."""

    protocol: Protocol
    image: Volume
    labels: Volume
    lesions: Volume


def acquire(knee: Knee, protocol: Protocol, rng: np.random.Generator) -> Acquisition:
    """Image the knee with one protocol; the generator decides placement and nuisance only."""
    affine = stack(protocol, rng)
    scene = lay_out(knee, protocol, affine)
    affine[:3, 3] += patient_position(knee)
    image = _scan(scene, protocol, rng, artefact_rng=knee.stream(f"artefacts {protocol.name} {protocol.plane}"))
    return Acquisition(
        protocol, Volume(image, affine), Volume(structures(scene), affine), Volume(lesions(scene), affine)
    )


def lay_out(knee: Knee, protocol: Protocol, affine: FloatArray) -> Scene:
    """All tissue layers of the knee at the samples of a stack (``affine`` in knee-centred LPS)."""
    points = canonical_points(knee, protocol, affine)
    pixel = protocol.field_of_view_mm / protocol.matrix
    scene = Scene(knee, points, softness_mm=pixel * 1.3, thickness_samples=THICKNESS_SAMPLES)
    paint_surroundings(scene)
    joint = paint_joint(scene)
    paint_lesions(scene, joint)
    return scene


def patient_position(knee: Knee) -> FloatArray:
    """Where the knee's centre lies in the patient, LPS mm: a left knee is on the patient's left (+x)."""
    rng = knee.stream("position")
    side = 1.0 if knee.laterality is Laterality.LEFT else -1.0
    return np.array([side * rng.uniform(70, 110), rng.uniform(-30, 30), rng.uniform(-60, 60)]).round(2)


def canonical_points(knee: Knee, protocol: Protocol, affine: FloatArray) -> Points:
    """Canonical coordinates of every sample; the warp is smooth, so it is computed on every 8th pixel."""
    count, samples = protocol.matrix, protocol.slices * THICKNESS_SAMPLES
    within = (np.arange(THICKNESS_SAMPLES) + 0.5) / THICKNESS_SAMPLES - 0.5
    depth = np.arange(protocol.slices)[:, None] + within[None, :] * protocol.thickness_mm / protocol.spacing_mm
    coarse = np.arange(0, count + COARSE, COARSE, dtype=np.float64)
    s, r, c = np.meshgrid(depth.ravel(), coarse, coarse, indexing="ij")
    pose = rotation(knee.stream("pose").normal(0, 0.05, 3)) @ np.diag(
        [-1.0 if knee.laterality is Laterality.LEFT else 1.0, 1.0, 1.0]
    )
    place = pose @ affine[:3]
    xyz = [(row[0] * s + row[1] * r + row[2] * c + row[3]).astype(np.float32) for row in place]
    rough = canonical(Points(*xyz), knee.anatomy)
    weights = interpolation(count, coarse.size)
    fine: list[Field] = [
        np.ascontiguousarray(weights @ axis @ weights.T, dtype=np.float32).reshape(samples, count, count)
        for axis in (rough.x, rough.y, rough.z)
    ]
    return Points(*fine)


def interpolation(count: int, nodes: int) -> Field:
    """Linear interpolation ``(count, nodes)`` from every ``COARSE``-th pixel to every pixel."""
    distance = np.abs(np.arange(count)[:, None] / COARSE - np.arange(nodes)[None, :])
    return np.clip(1 - distance, 0, None).astype(np.float32)


def _scan(
    scene: Scene, protocol: Protocol, rng: np.random.Generator, *, artefact_rng: np.random.Generator
) -> NDArray[np.uint16]:
    signal = signals(protocol.sequence)
    if protocol.artefacts:
        fat = signal * fat_share()
        ideal = disturbed(_thick(scene, signal - fat), _thick(scene, fat), protocol, artefact_rng)
    else:
        ideal = _thick(scene, signal)
    return degrade(ideal, signal[Tissue.MUSCLE] / protocol.muscle_snr, rng)


def _thick(scene: Scene, signal: NDArray[np.float32]) -> Field:
    """Signal of whole slices: the mean of the samples through their thickness."""
    samples = render(scene, signal)
    thick: Field = samples.reshape(-1, THICKNESS_SAMPLES, *samples.shape[1:]).mean(axis=1)
    return thick


def degrade(ideal: Field, noise: float, rng: np.random.Generator) -> NDArray[np.uint16]:
    """Texture, blur, coil bias and Rician noise, as unsigned 12-bit-like integers."""
    shape = ideal.shape
    rough = rng.standard_normal((shape[0], shape[1] // 4, shape[2] // 4), dtype=np.float32)
    texture = np.repeat(np.repeat(ndimage.gaussian_filter(rough, (0.5, 0.8, 0.8)), 4, axis=1), 4, axis=2)
    texture = np.pad(texture, [(0, 0), (0, shape[1] - texture.shape[1]), (0, shape[2] - texture.shape[2])], mode="edge")
    picture = ideal * (1 + np.float32(rng.uniform(0.03, 0.12)) * texture)
    blur = float(rng.uniform(0.35, 0.8)) * shape[1] / 320
    picture = ndimage.gaussian_filter(picture, (0, blur, blur), output=np.float32, truncate=2.5)
    picture *= bias_field(shape, rng)
    real = picture + np.float32(noise) * rng.standard_normal(shape, dtype=np.float32)
    imaginary = np.float32(noise) * rng.standard_normal(shape, dtype=np.float32)
    scanned = np.sqrt(real * real + imaginary * imaginary)
    if rng.random() < 0.4:
        scanned *= ndimage.gaussian_filter(ideal, (0, 2, 2), truncate=2) > ideal.max() * 0.01
    scale = float(rng.uniform(600, 2500)) / float(np.percentile(scanned[:, ::4, ::4], 99.5))
    return np.clip(np.rint(scanned * np.float32(scale)), 0, 4095).astype(np.uint16)


def bias_field(shape: tuple[int, ...], rng: np.random.Generator) -> Field:
    """Smooth gain of the coil around 1, polynomial of second order."""
    u, v, w = (np.linspace(-1, 1, size, dtype=np.float32) for size in shape)
    a = rng.normal(0, 0.12, 6).astype(np.float32)
    plane = a[0] * v[:, None] + a[1] * w[None, :] + a[2] * v[:, None] * w[None, :]
    plane = plane + a[3] * v[:, None] ** 2 + (a[4] + np.float32(rng.uniform(0, 0.15))) * w[None, :] ** 2
    gain: Field = np.exp(plane[None] + a[5] * u[:, None, None])
    return gain.astype(np.float32)
