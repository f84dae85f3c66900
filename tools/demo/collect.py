"""Reading a result set back out of Orthanc: objects as files, findings out of the structured report."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes

from services.common.uids import is_result_uid
from tools.demo.orthanc import Orthanc


@dataclass(frozen=True, eq=False)
class ResultFile:
    """One stored result object."""

    modality: str
    series_description: str
    sop_instance_uid: str
    orthanc_id: str
    dataset: pydicom.Dataset


@dataclass(frozen=True)
class ReportedFinding:
    """One measurement group of the report."""

    label: str
    probability: float
    threshold: float
    positive: bool
    where: str
    sop_instance_uid: str


@dataclass
class Collected:
    """A study's results as Orthanc holds them."""

    study_instance_uid: str
    objects: list[ResultFile] = field(default_factory=list)
    findings: list[ReportedFinding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    conclusion: str = ""

    def of(self, modality: str) -> list[ResultFile]:
        """The objects of one modality."""
        return [each for each in self.objects if each.modality == modality]


def collect(orthanc: Orthanc, study_id: str, out: Path) -> Collected:
    """Download all result objects of a study to ``out`` and read the report."""
    study = orthanc.json(f"/studies/{study_id}")
    collected = Collected(study["MainDicomTags"]["StudyInstanceUID"])
    for instance in orthanc.json(f"/studies/{study_id}/instances?expand"):
        if is_result_uid(instance["MainDicomTags"]["SOPInstanceUID"]):
            data = orthanc.content(f"/instances/{instance['ID']}/file")
            dataset = pydicom.dcmread(BytesIO(data))
            name = str(dataset.SeriesDescription).lower().replace(" ", "-").replace("'", "")
            (out / f"{name}.dcm").write_bytes(data)
            collected.objects.append(_file(dataset, instance["ID"]))
    collected.objects.sort(key=lambda each: int(each.dataset.SeriesNumber))
    for report in collected.of("SR"):
        _read_report(report.dataset, collected, orthanc)
    return collected


def _file(dataset: pydicom.Dataset, orthanc_id: str) -> ResultFile:
    return ResultFile(
        str(dataset.Modality), str(dataset.SeriesDescription), str(dataset.SOPInstanceUID), orthanc_id, dataset
    )


def _read_report(dataset: pydicom.Dataset, collected: Collected, orthanc: Orthanc) -> None:
    for item in dataset.ContentSequence:
        name = item.ConceptNameCodeSequence[0].CodeValue if "ConceptNameCodeSequence" in item else ""
        if item.ValueType == "TEXT" and name == codes.DCM.Comment.value:
            collected.notes.append(str(item.TextValue))
        if item.ValueType == "TEXT" and name == codes.DCM.Conclusion.value:
            collected.conclusion = str(item.TextValue)
    if any(item.ValueType == "CONTAINER" for item in dataset.ContentSequence):
        report = hd.sr.Comprehensive3DSR.from_dataset(dataset)
        for group in report.content.get_image_measurement_groups():
            collected.findings.append(_finding(group, orthanc))


def _finding(group: hd.sr.MeasurementsAndQualitativeEvaluations, orthanc: Orthanc) -> ReportedFinding:
    probability, threshold = (float(each.value) for each in group.get_measurements())
    uid = str(group.source_images[0].referenced_sop_instance_uid)
    return ReportedFinding(
        label=str(group.tracking_identifier),
        probability=probability,
        threshold=threshold,
        positive=group.get_qualitative_evaluations()[0].value == codes.SCT.Present,
        where=_where(orthanc, uid),
        sop_instance_uid=uid,
    )


def _where(orthanc: Orthanc, sop_instance_uid: str) -> str:
    """Series description and instance number of the deciding image."""
    found = orthanc.find_instance(sop_instance_uid)
    if found is None:
        return ""
    series = orthanc.json(f"/instances/{found}/series")["MainDicomTags"]
    number = orthanc.json(f"/instances/{found}")["MainDicomTags"].get("InstanceNumber", "?")
    return f"{series.get('SeriesDescription', 'series ' + series.get('SeriesNumber', '?'))}, image {number.strip()}"
