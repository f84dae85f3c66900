"""No result is a result: a report that says, in a code and in words, why there are no findings."""

import pydicom

from services.common.codes import CONCLUSION, PROCEDURE_REPORTED, private
from services.common.errors import ADVICE, RefusalCode
from services.common.study import Provenance
from services.results.content import Relation, text
from services.results.content import code as code_item
from services.results.document import PROCEDURE, report_document

REASON = private("NO-RESULT", "Reason for missing result")
WHAT_TO_DO = private("ADVICE", "What to do about the missing result")


def no_result_object(source: pydicom.Dataset, code: RefusalCode, *, provenance: Provenance) -> pydicom.Dataset:
    """SR on the study of ``source``, any one of its instances, however poor its header.

    It claims no template, because TID 1500 needs measurements.
    """
    reason = code_item(REASON, private(code, code.replace("_", " ").capitalize()))
    items = [
        code_item(PROCEDURE_REPORTED, PROCEDURE, Relation.MODIFIES),
        reason,
        text(WHAT_TO_DO, ADVICE[code]),
        text(CONCLUSION, f"No result: {code}. {ADVICE[code]}"),
    ]
    return report_document([source], items, template=None, provenance=provenance, description="Articula no result")
