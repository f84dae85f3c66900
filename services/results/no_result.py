"""No result is a result: a report that says, in a code and in words, why there are no findings."""

import highdicom as hd
import pydicom
from pydicom.sr.codedict import codes

from services.common.codes import private
from services.common.errors import ADVICE, RefusalCode
from services.common.study import Provenance
from services.results.document import report_document, text
from services.results.segmentation import coded

REASON = private("NO-RESULT", "Reason for missing result")


def no_result_object(source: pydicom.Dataset, code: RefusalCode, *, provenance: Provenance) -> pydicom.Dataset:
    """SR on the study of ``source``, any one of its instances, however poor its header."""
    reason = hd.sr.CodeContentItem(
        name=coded(REASON),
        value=coded(private(code, code.replace("_", " ").capitalize())),
        relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
    )
    items = [reason, text(codes.DCM.Conclusion, f"No result: {code}. {ADVICE[code]}")]
    return report_document([source], provenance, items=items, description="Articula no result")
