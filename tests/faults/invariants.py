"""What must hold of one study when everything is over; pure functions of what an archive holds and what was sent.

They follow from the promise, not from the forwarder's code: the only things shared with it are the published formula of
the input digest and the attributes of DICOM.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pydicom

from tests.faults.deliveries import Delivery, SentStudy

KEY_OBJECT = "1.2.840.10008.5.1.4.1.1.88.59"
FINAL = frozenset({"done", "no_result", "failed"})
MAX_ATTEMPTS = 3
_DIGEST = re.compile(r"[0-9a-f]{64}")
_WHOSE = ("StudyInstanceUID", "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber")


@dataclass(frozen=True)
class Found:
    """One study as the archive holds it: its state, the UIDs of its sources, and everything else in it."""

    state: str = ""
    input_digest: str = ""
    attempts: int = 0
    sources: tuple[str, ...] = ()
    results: tuple[pydicom.Dataset, ...] = ()

    @property
    def manifests(self) -> dict[str, list[pydicom.Dataset]]:
        """The manifests by the input digest that they are about."""
        found: dict[str, list[pydicom.Dataset]] = {}
        for each in self.results:
            if each.SOPClassUID == KEY_OBJECT:
                found.setdefault(_about(each), []).append(each)
        return found


def violations(sent: SentStudy, found: Found | None, pipeline_digest: str) -> list[str]:
    """The invariants that do not hold, by name; ``found`` is None where the archive has no such study."""
    if sent.delivery is Delivery.DELETED:
        return [] if found is None else ["orphaned"]
    if found is None:
        return ["lost"]
    whole = sent.input_digest(pipeline_digest)
    checks = {
        "lost": _is_lost(sent, found, whole),
        "doubled": _is_doubled(sent, found, pipeline_digest) or outdated(sent, found, pipeline_digest),
        "partial": _is_partial(found),
        "wrong_patient": not all(_is_about(each, sent) for each in found.results),
        "wrong_outcome": found.state in FINAL and found.state not in sent.outcomes,
        "unbounded": found.attempts > MAX_ATTEMPTS,
    }
    return [name for name, broken in checks.items() if broken]


def outdated(sent: SentStudy, found: Found | None, pipeline_digest: str) -> bool:
    """Whether a result set of what the study was before it was whole stands beside that of the whole study."""
    whole = sent.input_digest(pipeline_digest)
    return found is not None and whole in found.manifests and len(found.manifests) > 1


def _is_lost(sent: SentStudy, found: Found, whole: str) -> bool:
    """No final state for what was sent, no result where there must be one, or a source is gone."""
    ended = found.state in FINAL and found.input_digest == whole
    committed = whole in found.manifests or found.state == "failed"
    return not (ended and committed and {str(each.SOPInstanceUID) for each in sent.instances} <= set(found.sources))


def _is_doubled(sent: SentStudy, found: Found, pipeline_digest: str) -> bool:
    """Two sets of one input, two objects of one UID, or a set of an input that the study never had."""
    had = {sent.input_digest(pipeline_digest, count) for count in range(1, len(sent.files) + 1)}
    uids = Counter([*found.sources, *(str(each.SOPInstanceUID) for each in found.results)])
    return max(uids.values(), default=0) > 1 or any(
        len(manifests) > 1 or digest not in had for digest, manifests in found.manifests.items()
    )


def _is_partial(found: Found) -> bool:
    """A manifest lists what is not there, or something is there that no manifest lists."""
    manifests = [each for several in found.manifests.values() for each in several]
    committed = {uid for each in manifests for uid in (*_listed(each), str(each.SOPInstanceUID))}
    return committed != {str(each.SOPInstanceUID) for each in found.results}


def _is_about(result: pydicom.Dataset, sent: SentStudy) -> bool:
    """A result names its patient and study as the source does, and lies where the source lies."""
    source = sent.instances[0]
    named = all(result.get(keyword) == source.get(keyword) for keyword in _WHOSE if keyword in source)
    frames = {str(each.FrameOfReferenceUID) for each in sent.instances if "FrameOfReferenceUID" in each}
    framed = "FrameOfReferenceUID" not in result or not frames or str(result.FrameOfReferenceUID) in frames
    sources = {_position(each) for each in sent.instances if "ImagePositionPatient" in each}
    return named and framed and set(_positions(result)) <= sources


def _positions(result: pydicom.Dataset) -> Iterator[tuple[float, ...]]:
    for frame in result.get("PerFrameFunctionalGroupsSequence", []):
        for place in frame.get("PlanePositionSequence", []):
            yield _position(place)


def _position(dataset: pydicom.Dataset) -> tuple[float, ...]:
    return tuple(round(float(each), 4) for each in dataset.ImagePositionPatient)


def _about(manifest: pydicom.Dataset) -> str:
    """The input digest in a manifest's text."""
    text = " ".join(str(each.get("TextValue", "")) for each in manifest.get("ContentSequence", []))
    match = _DIGEST.search(text)
    return match.group() if match else ""


def _listed(manifest: pydicom.Dataset) -> Iterator[str]:
    """UIDs of the objects a manifest commits."""
    for study in manifest.get("CurrentRequestedProcedureEvidenceSequence", []):
        for series in study.ReferencedSeriesSequence:
            for each in series.ReferencedSOPSequence:
                yield str(each.ReferencedSOPInstanceUID)
