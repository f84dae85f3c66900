"""``python -m tools.phantom --seed 7 --finding ACL --out build/phantom``: write a synthetic study and look at it.

``--whole`` acquires seven series instead of three, ``--artefact`` spoils them, ``--transfer-syntax`` compresses them,
``--vendor`` writes the tags as a maker's scanners do, ``--truth`` writes the ground truth beside them as DICOM
Segmentations and JSON.
"""

import argparse
from pathlib import Path

import pydicom.uid
from rich.progress import Progress

from services.common.finding import LABELS
from tools.phantom.artefacts import ARTEFACTS
from tools.phantom.sheet import write_sheet
from tools.phantom.study import MATRIX, WHOLE_EXAMINATION, Plan, image_study, write_instances
from tools.phantom.truth import write_truth
from tools.phantom.vendor import VENDORS

TRANSFER_SYNTAXES = {
    "explicit": pydicom.uid.ExplicitVRLittleEndian,
    "implicit": pydicom.uid.ImplicitVRLittleEndian,
    "big-endian": pydicom.uid.ExplicitVRBigEndian,
    "deflated": pydicom.uid.DeflatedExplicitVRLittleEndian,
    "rle": pydicom.uid.RLELossless,
    "jpeg-ls": pydicom.uid.JPEGLSLossless,
    "jpeg-2000": pydicom.uid.JPEG2000Lossless,
}


def main() -> None:
    """Write the DICOM files, and the truth and a contact sheet where asked for."""
    options = _options()
    plan = Plan(matrix=options.matrix, artefacts=frozenset(options.artefact))
    if options.whole:
        plan = Plan(WHOLE_EXAMINATION, options.matrix, plan.artefacts)
    with Progress() as progress:
        task = progress.add_task(f"knee {options.seed}", total=None)
        study = image_study(options.seed, options.finding, plan=plan)
        progress.update(task, total=sum(len(series.image.voxels) for series in study.series))
        instances = write_instances(
            options.out,
            study,
            transfer_syntax=TRANSFER_SYNTAXES[options.transfer_syntax],
            vendor=options.vendor,
            on_instance=lambda: progress.advance(task),
        )
    if options.truth:
        write_truth(options.out, study, instances)
    if options.sheet:
        write_sheet(options.sheet, study.series)
    print(f"{options.out}: {study.knee.laterality} knee with {', '.join(sorted(study.knee.findings)) or 'no finding'}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.phantom", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--finding", action="append", default=[], choices=LABELS)
    parser.add_argument("--matrix", type=int, default=MATRIX, help="rows and columns of a slice")
    parser.add_argument("--whole", action="store_true", help="seven series of five sequences, not three of one")
    parser.add_argument("--artefact", action="append", default=[], choices=ARTEFACTS)
    parser.add_argument("--transfer-syntax", default="explicit", choices=TRANSFER_SYNTAXES)
    parser.add_argument("--vendor", choices=VENDORS, help="write the tags as scanners of this maker do")
    parser.add_argument("--out", type=Path, default=Path("build/phantom"))
    parser.add_argument("--truth", action="store_true", help="also write the ground truth: SEG objects and truth.json")
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet to this PNG file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
