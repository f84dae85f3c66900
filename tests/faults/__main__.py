"""``python -m tests.faults``: break the real system and say what came of it."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from tests.faults.campaign import Size, run
from tests.faults.safeguards import check

REPORT = Path("build/faults/report.json")


def main() -> int:
    """Run one campaign; 0 where every invariant holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=300)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="where the site keeps its state and logs; a temporary one otherwise"
    )
    parser.add_argument("--check", action="store_true", help="break each safeguard and see whether the oracle notices")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="articula-faults-")) / "site"
    console = Console()
    if options.check:
        folder.mkdir(parents=True)
        return 0 if all(check(folder, console).values()) else 1
    campaign = run(Size(options.studies, options.faults, options.seed), folder, console)
    campaign.write(REPORT)
    console.print(campaign.table())
    console.print_json(data=campaign.report())
    if campaign.verdict.clean:
        console.print("[green]Nothing lost, nothing twice.")
        return 0
    console.print(
        f"[red]Broken:[/] {campaign.verdict}\nThe site's logs are in {folder}; replay with --seed {options.seed}."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
