"""The commit of a result set: a Key Object Selection titled Manifest that lists every object of the set.

It is stored last. A result set without it does not count, and its UID follows from the input digest alone, so whoever
knows the digest can ask an archive in one question whether the set is complete.
"""

from collections.abc import Sequence

import pydicom
from pydicom.uid import KeyObjectSelectionDocumentStorage

from services.common.codes import KEY_OBJECT_DESCRIPTION, MANIFEST, SOURCE
from services.common.study import Provenance
from services.results.content import reference, text
from services.results.document import Root, observer, set_content
from services.results.identity import RESEARCH_ONLY, new_object, sign

KIND = "manifest"
_SERIES_NUMBER = 9099
_TEMPLATE = "2010"


def manifest_object(
    objects: Sequence[pydicom.Dataset], source: pydicom.Dataset, *, provenance: Provenance
) -> pydicom.Dataset:
    """Key Object Selection of all ``objects`` of one result set, on the study of ``source``."""
    dataset = new_object(KeyObjectSelectionDocumentStorage, KIND, provenance=provenance)
    dataset.Modality, dataset.SeriesNumber = "KO", _SERIES_NUMBER
    purpose = f"Result set of input {provenance.input_digest}. {RESEARCH_ONLY}"
    listed = [reference(SOURCE, each) for each in objects]
    items = [*observer(provenance), text(KEY_OBJECT_DESCRIPTION, purpose), *listed]
    set_content(dataset, Root(MANIFEST, _TEMPLATE, items), objects)
    return sign(dataset, source, kind="Manifest", description="Articula manifest")
