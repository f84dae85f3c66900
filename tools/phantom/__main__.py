"""``python -m tools.phantom --seed 7 --finding ACL --out build/phantom``: write a synthetic study and look at it."""

import argparse
from pathlib import Path

from rich.progress import Progress

from services.common.finding import LABELS
from services.common.volume import PLANES
from tools.phantom.sheet import write_sheet
from tools.phantom.study import MATRIX, write_study


def main() -> None:
    """Write the DICOM files, and a contact sheet where asked for."""
    parser = argparse.ArgumentParser(prog="python -m tools.phantom", description=__doc__)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--finding", action="append", default=[], choices=LABELS)
    parser.add_argument("--matrix", type=int, default=MATRIX, help="rows and columns of a slice")
    parser.add_argument("--out", type=Path, default=Path("build/phantom"))
    parser.add_argument("--sheet", type=Path, help="also write a contact sheet to this PNG file")
    options = parser.parse_args()
    with Progress() as progress:
        task = progress.add_task(f"knee {options.seed}", total=len(PLANES) * 28)
        study = write_study(
            options.out,
            options.seed,
            options.finding,
            matrix=options.matrix,
            on_instance=lambda: progress.advance(task),
        )
        progress.update(task, total=sum(len(series.image.voxels) for series in study.series))
    if options.sheet:
        write_sheet(options.sheet, study.series)
    print(f"{options.out}: {study.knee.laterality} knee with {', '.join(sorted(study.knee.findings)) or 'no finding'}")


if __name__ == "__main__":
    main()
