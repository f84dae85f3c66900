"""The colour space in which a segment's display colour is stored."""

from functools import cache

import numpy as np

_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
_WHITE = np.array([0.9505, 1.0, 1.0889])  # D65, as highdicom writes and OHIF reads it
_LINEAR_BELOW = (6 / 29) ** 3


@cache
def cielab(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    """SRGB (0..255) as L*, a*, b* scaled to 0..65535 (PS3.3 C.10.7.1.1)."""
    channel = np.asarray(rgb) / 255.0
    linear = np.where(channel > 0.04045, ((channel + 0.055) / 1.055) ** 2.4, channel / 12.92)
    ratio = _TO_XYZ @ linear / _WHITE
    x, y, z = np.where(ratio > _LINEAR_BELOW, np.cbrt(ratio), ratio * (29 / 6) ** 2 / 3 + 4 / 29)
    lightness, a, b = 116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)
    return round(lightness / 100 * 65535), round((a + 128) / 255 * 65535), round((b + 128) / 255 * 65535)
