"""No result is a result: a report that says, in a code and in words, why there are no findings."""

import pydicom

from services.common.codes import CONCLUSION, private
from services.common.errors import ADVICE, RefusalCode
from services.common.study import Provenance
from services.results.content import code as code_item
from services.results.content import text
from services.results.document import report_document

REASON = private("NO-RESULT", "Reason for missing result")


def no_result_object(source: pydicom.Dataset, code: RefusalCode, *, provenance: Provenance) -> pydicom.Dataset:
    """SR on the study of ``source``, any one of its instances, however poor its header.

    It claims no template, because TID 1500 needs measurements.
    """
    reason = code_item(REASON, private(code, code.replace("_", " ").capitalize()))
    items = [reason, text(CONCLUSION, f"No result: {code}. {ADVICE[code]}")]
    return report_document([source], items, template=None, provenance=provenance, description="Articula no result")
