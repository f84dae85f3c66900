"""What the page scrolls through: one series a plane, its slices in order, and the segmentation that lies on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.viewer.document import ImageReference, Tags, references

PLANES = ("sagittal", "coronal", "axial")  # by the axis of patient space that the slices are stacked along


class Reader(Protocol):
    """An archive as seen from here: Orthanc's REST API."""

    async def json(self, path: str) -> Any:
        """GET JSON; raises what the caller handles."""

    async def content(self, path: str) -> bytes:
        """GET bytes; raises what the caller handles."""


@dataclass(frozen=True)
class Segment:
    """One structure of a segmentation and the CIELab colour it asks for, as sRGB ``#rrggbb``."""

    number: int
    label: str
    colour: str


@dataclass(frozen=True)
class PlaneView:
    """One series to look at; ``spacing_mm`` is (between rows, between columns)."""

    plane: str
    series_description: str
    series_instance_uid: str
    slices: list[ImageReference]
    instances: dict[str, str]  # Orthanc's id by SOP Instance UID
    spacing_mm: tuple[float, float]
    segmentation: str = ""  # Orthanc's id of the segmentation
    segments: list[Segment] = field(default_factory=list)


def plane_of(orientation: str) -> str | None:
    """The plane of an ImageOrientationPatient, None where it is none."""
    try:
        cosines = [float(each) for each in orientation.split("\\")]
    except ValueError:
        return None
    if len(cosines) != 6:
        return None
    (a, b, c), (d, e, f) = cosines[:3], cosines[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    return PLANES[max(range(3), key=lambda axis: abs(normal[axis]))]


def segmented_plane(tags: Tags, instance_id: str, index: "StudyIndex") -> PlaneView | None:
    """The view of a segmentation's source series, in the slice order in which the segmentation lists it."""
    shared = _first(tags, "SharedFunctionalGroupsSequence")
    plane = plane_of(str(_first(shared, "PlaneOrientationSequence").get("ImageOrientationPatient") or ""))
    slices = references(_first(tags, "ReferencedSeriesSequence"), "ReferencedInstanceSequence")
    known = [each for each in slices if each.sop_instance_uid in index.instances]
    if plane is None or not known:
        return None
    spacing = str(_first(shared, "PixelMeasuresSequence").get("PixelSpacing") or "")
    series = index.series_of(known[0].sop_instance_uid)
    return PlaneView(
        plane,
        series.description,
        series.series_instance_uid,
        known,
        {each.sop_instance_uid: index.instances[each.sop_instance_uid] for each in known},
        _pair(spacing),
        instance_id,
        _segments(tags),
    )


@dataclass(frozen=True)
class StoredSeries:
    """One series of the study as Orthanc lists it."""

    series_id: str
    series_instance_uid: str
    modality: str
    description: str
    instances: list[str]


@dataclass(frozen=True)
class StudyIndex:
    """All series of a study, and Orthanc's id of each instance by its SOP Instance UID."""

    series: list[StoredSeries]
    instances: dict[str, str]

    def series_of(self, sop_instance_uid: str) -> StoredSeries:
        """The series that holds an instance; raises ``KeyError``."""
        wanted = self.instances[sop_instance_uid]
        for each in self.series:
            if wanted in each.instances:
                return each
        raise KeyError(sop_instance_uid)


async def study_index(reader: Reader, study_id: str) -> StudyIndex:
    """Two calls, whatever the size of the study."""
    series = await reader.json(f"/studies/{study_id}/series?expand")
    instances = await reader.json(f"/studies/{study_id}/instances?expand")
    return StudyIndex(
        [
            StoredSeries(
                each["ID"],
                each["MainDicomTags"].get("SeriesInstanceUID", ""),
                each["MainDicomTags"].get("Modality", ""),
                each["MainDicomTags"].get("SeriesDescription", "")
                or f"Series {each['MainDicomTags'].get('SeriesNumber', '')}",
                each["Instances"],
            )
            for each in series
        ],
        {each["MainDicomTags"].get("SOPInstanceUID", ""): each["ID"] for each in instances},
    )


async def plain_plane(reader: Reader, series: StoredSeries, index: StudyIndex) -> PlaneView | None:
    """The view of a series without a segmentation, in the order that Orthanc finds in its geometry."""
    first = await reader.json(f"/instances/{series.instances[0]}/tags?simplify")
    plane = plane_of(str(first.get("ImageOrientationPatient") or ""))
    if plane is None:
        return None
    uids = {instance: uid for uid, instance in index.instances.items()}
    ordered = await reader.json(f"/series/{series.series_id}/ordered-slices")
    slices = [
        ImageReference(uids[instance], frame + 1)
        for instance, start, count in ordered.get("SlicesShort", [])
        for frame in range(start, start + count)
        if instance in uids
    ]
    if not slices:
        return None
    instances = {each.sop_instance_uid: index.instances[each.sop_instance_uid] for each in slices}
    spacing = _pair(str(first.get("PixelSpacing") or ""))
    return PlaneView(plane, series.description, series.series_instance_uid, slices, instances, spacing)


def best_by_plane(views: Sequence[PlaneView]) -> dict[str, PlaneView]:
    """One view a plane: the first one given wins, in the fixed order of planes."""
    found: dict[str, PlaneView] = {}
    for each in views:
        found.setdefault(each.plane, each)
    return {plane: found[plane] for plane in PLANES if plane in found}


def _segments(tags: Tags) -> list[Segment]:
    found = []
    for each in tags.get("SegmentSequence") or []:
        number = str(each.get("SegmentNumber") or "")
        if number.isdigit():
            colour = srgb(str(each.get("RecommendedDisplayCIELabValue") or ""))
            found.append(Segment(int(number), str(each.get("SegmentLabel") or number), colour))
    return found


def srgb(cielab: str) -> str:
    """RecommendedDisplayCIELabValue (PS3.3 C.10.7.1.1, D65 of sRGB) as ``#rrggbb``; a middle grey where it is none."""
    try:
        lightness, a, b = (float(each) for each in cielab.split("\\"))
    except ValueError:
        return "#808080"
    fy = (lightness / 65535 * 100 + 16) / 116
    fx, fz = fy + (a / 65535 * 255 - 128) / 500, fy - (b / 65535 * 255 - 128) / 200
    x, y, z = (
        white * (each**3 if each > 6 / 29 else 3 * (6 / 29) ** 2 * (each - 4 / 29))
        for each, white in ((fx, 0.9505), (fy, 1.0), (fz, 1.089))
    )
    linear = (
        3.2406 * x - 1.5372 * y - 0.4986 * z,
        -0.9689 * x + 1.8758 * y + 0.0415 * z,
        0.0557 * x - 0.2040 * y + 1.0570 * z,
    )
    return "#" + "".join(f"{round(255 * min(max(_gamma(each), 0.0), 1.0)):02x}" for each in linear)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def _pair(text: str) -> tuple[float, float]:
    try:
        row, column = (float(each) for each in text.split("\\"))
    except ValueError:
        return 1.0, 1.0
    return (row, column) if row > 0 and column > 0 else (1.0, 1.0)


def _first(tags: Tags, keyword: str) -> Tags:
    value = tags.get(keyword)
    return value[0] if isinstance(value, list) and value and isinstance(value[0], Mapping) else {}
