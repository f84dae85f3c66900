"""Everything the result page shows of one study, as one JSON value without a word about who the patient is.

The manifest of the study's current input says which objects belong together, the report says what was found, the
segmentations say where the slices are. Each of them may be missing: then the page shows what is there.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.common.status import StudyStatus
from services.common.uids import is_result_uid, result_uid
from services.viewer.document import ImageReference, Report, Tags, read_report, references
from services.viewer.planes import (
    PLANES,
    PlaneView,
    Reader,
    StudyIndex,
    best_by_plane,
    plain_plane,
    segmented_plane,
    study_index,
)

SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"
COMPREHENSIVE_3D_SR = "1.2.840.10008.5.1.4.1.1.88.34"
_LONG_TEXT = "ignore-length=0040-a160"  # Orthanc leaves out text beyond 256 characters unless told
_NOTE_KINDS = ("pipeline ", "model ", "input digest", "preprocessing:")
_MAP_OF = "Articula activation map "
_RESEARCH = "Research use only"


@dataclass(frozen=True)
class ResultObject:
    """One stored object of the result set."""

    instance_id: str
    sop_class_uid: str
    sop_instance_uid: str
    modality: str
    description: str


@dataclass(frozen=True)
class StudyView:
    """A study's current result: what is shown, and what layers are made of."""

    study_instance_uid: str
    study_date: str
    description: str
    status: StudyStatus | None
    planes: dict[str, PlaneView]
    report: Report | None
    objects: list[ResultObject]
    tags: Mapping[str, Tags]  # of the segmentations, by Orthanc's id

    def maps(self) -> dict[str, ResultObject]:
        """Parametric maps by SOP Instance UID."""
        return {each.sop_instance_uid: each for each in self.objects if each.sop_class_uid == PARAMETRIC_MAP}

    def by_instance(self, instance_id: str) -> ResultObject | None:
        """The object of the set with this Orthanc id."""
        return next((each for each in self.objects if each.instance_id == instance_id), None)

    def plane_of(self, tags: Tags) -> PlaneView | None:
        """The plane whose slices an object's frames lie on: that of its first source which is shown."""
        for groups in tags.get("PerFrameFunctionalGroupsSequence") or []:
            for derivation in groups.get("DerivationImageSequence") or []:
                for source in references(derivation, "SourceImageSequence"):
                    for plane in self.planes.values():
                        if source in plane.slices:
                            return plane
        return None

    def to_json(self) -> dict[str, Any]:
        """The page's JSON."""
        report = self.report
        return {
            "study": {"uid": self.study_instance_uid, "date": self.study_date, "description": self.description},
            "status": asdict(self.status) if self.status else None,
            "planes": [_plane_json(each) for each in self.planes.values()],
            "findings": self._findings(),
            "measurements": [self._measurement(each) for each in report.measurements] if report else [],
            "conclusion": report.conclusion if report else "",
            "notes": [each for each in report.notes if not _is_origin(each)] if report else [],
            "made_by": [each for each in report.notes if each.startswith(_NOTE_KINDS)] if report else [],
            "software": report.software_version if report else "",
            "objects": [
                {"instance": each.instance_id, "modality": each.modality, "description": each.description}
                for each in self.objects
            ],
        }

    def _findings(self) -> list[dict[str, Any]]:
        if self.report is None:
            return []
        maps = self.maps()
        by_label = {each.description.removeprefix(_MAP_OF): each for each in maps.values()}
        found = []
        for finding in self.report.findings:
            linked = next((maps[uid] for uid in finding.links if uid in maps), by_label.get(finding.label))
            found.append(
                {
                    "label": finding.label,
                    "meaning": finding.meaning,
                    "probability": finding.probability,
                    "threshold": finding.threshold,
                    "positive": finding.positive,
                    "category": finding.category,
                    "places": self._places(finding.images),
                    "map": linked.instance_id if linked else None,
                }
            )
        return found

    def _measurement(self, measured: Any) -> dict[str, Any]:
        fields = asdict(measured)
        fields["places"] = self._places(measured.images)
        del fields["images"]
        return fields

    def _places(self, images: list[ImageReference]) -> list[dict[str, Any]]:
        """Plane and slice of each image that is shown."""
        return [
            {"plane": plane.plane, "slice": plane.slices.index(image)}
            for image in images
            for plane in self.planes.values()
            if image in plane.slices
        ]


async def study_view(reader: Reader, study_id: str, status: StudyStatus | None) -> StudyView:
    """Read a study out of the archive; raises what ``reader`` raises."""
    study = (await reader.json(f"/studies/{study_id}"))["MainDicomTags"]
    index = await study_index(reader, study_id)
    objects = await _objects(reader, index, status.input_digest if status else "")
    reports = await _tags(reader, objects, COMPREHENSIVE_3D_SR)
    report = read_report(reports[0][1]) if reports else None
    tags = {each.instance_id: read for each, read in await _tags(reader, objects, SEGMENTATION)}
    segmented = [segmented_plane(read, instance_id, index) for instance_id, read in tags.items()]
    return StudyView(
        study.get("StudyInstanceUID", ""),
        study.get("StudyDate", ""),
        study.get("StudyDescription", ""),
        status,
        await _planes(reader, index, [each for each in segmented if each], report),
        report,
        objects,
        tags,
    )


async def _objects(reader: Reader, index: StudyIndex, digest: str) -> list[ResultObject]:
    """The objects that the current manifest lists, in its order; none without a manifest."""
    manifest_id = index.instances.get(result_uid(digest, "manifest")) if digest else None
    if manifest_id is None:
        return []
    manifest = await reader.json(f"/instances/{manifest_id}/tags?simplify")
    found = []
    for study in manifest.get("CurrentRequestedProcedureEvidenceSequence") or []:
        for series in study.get("ReferencedSeriesSequence") or []:
            for each in series.get("ReferencedSOPSequence") or []:
                uid, sop_class = str(each.get("ReferencedSOPInstanceUID")), str(each.get("ReferencedSOPClassUID"))
                if uid in index.instances and is_result_uid(uid):
                    stored = index.series_of(uid)
                    found.append(
                        ResultObject(index.instances[uid], sop_class, uid, stored.modality, stored.description)
                    )
    return found


async def _tags(reader: Reader, objects: list[ResultObject], sop_class_uid: str) -> list[tuple[ResultObject, Tags]]:
    """All objects of one class with what Orthanc reads in them."""
    wanted = [each for each in objects if each.sop_class_uid == sop_class_uid]
    paths = [f"/instances/{each.instance_id}/tags?simplify&{_LONG_TEXT}" for each in wanted]
    return list(zip(wanted, await asyncio.gather(*map(reader.json, paths)), strict=True))


async def _planes(
    reader: Reader, index: StudyIndex, segmented: list[PlaneView], report: Report | None
) -> dict[str, PlaneView]:
    """Segmented series first, then those that findings point at, then whatever MR series has most slices."""
    found = best_by_plane(segmented)
    cited = {one.sop_instance_uid for finding in report.findings for one in finding.images} if report else set()
    cited_instances = {index.instances[each] for each in cited if each in index.instances}
    others = [each for each in index.series if each.modality == "MR" and each.instances]
    others.sort(key=lambda each: (cited_instances.isdisjoint(each.instances), -len(each.instances)))
    for series in others:
        if len(found) == len(PLANES):
            break
        if all(series.series_instance_uid != each.series_instance_uid for each in found.values()):
            plain = await plain_plane(reader, series, index)
            if plain:
                found.setdefault(plain.plane, plain)
    return best_by_plane(list(found.values()))


def _plane_json(view: PlaneView) -> dict[str, Any]:
    return {
        "plane": view.plane,
        "description": view.series_description,
        "spacing": view.spacing_mm,
        "slices": [
            {"instance": view.instances[each.sop_instance_uid], "frame": each.frame - 1} for each in view.slices
        ],
        "segmentation": view.segmentation or None,
        "segments": [asdict(each) for each in view.segments],
    }


def _is_origin(note: str) -> bool:
    return note.startswith((*_NOTE_KINDS, _RESEARCH))
