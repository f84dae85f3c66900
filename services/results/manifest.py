"""The commit of a result set: a Key Object Selection titled Manifest that lists every object of the set.

It is stored last. A result set without it does not count, and its UID follows from the input digest alone, so whoever
knows the digest can ask an archive in one question whether the set is complete.
"""

from collections.abc import Sequence

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes

from services.common.study import Provenance
from services.results.document import observer
from services.results.identity import (
    MANUFACTURER,
    RESEARCH_ONLY,
    instance_uid,
    series_uid,
    sign,
    with_required,
)

KIND = "manifest"
_SERIES_NUMBER = 9099


def manifest_object(
    objects: Sequence[pydicom.Dataset], source: pydicom.Dataset, *, provenance: Provenance
) -> pydicom.Dataset:
    """Key Object Selection of all ``objects`` of one result set, on the study of ``source``."""
    evidence = [with_required(each) for each in objects]
    dataset = hd.ko.KeyObjectSelectionDocument(
        evidence=evidence,
        content=hd.ko.KeyObjectSelection(
            document_title=codes.DCM.Manifest,
            referenced_objects=evidence,
            observer_device_context=observer(provenance),
            description=f"Result set of input {provenance.input_digest}. {RESEARCH_ONLY}",
        ),
        series_instance_uid=series_uid(provenance, KIND),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=instance_uid(provenance, KIND),
        instance_number=1,
        manufacturer=MANUFACTURER,
    )
    return sign(dataset, source, kind="Manifest", description="Articula manifest")
