"""``python -m tools.evaluate --studies 300``: read the test set, write ``build/evaluation/report.{html,md,json}``.

Every study's answer is kept: a run that was stopped goes on where it was, a longer run starts from a shorter one.
With ``--publish docs/evaluation`` the report is also written there, without real images.
"""

import argparse
from pathlib import Path

from tools.evaluate import summary
from tools.evaluate.run import Options, evaluate


def main() -> None:
    """Run the evaluation and say how many targets are met."""
    parser = argparse.ArgumentParser(prog="python -m tools.evaluate", description=__doc__)
    parser.add_argument("--studies", type=int, default=Options.studies)
    parser.add_argument(
        "--ablation", type=int, default=Options.ablation, help="studies that are also read in other ways"
    )
    parser.add_argument("--jobs", type=int, default=Options.jobs, help="processes; as many as there are cores")
    parser.add_argument("--publish", type=Path, help="also write the report, without real images, to this folder")
    arguments = parser.parse_args()
    ablation = min(arguments.ablation, arguments.studies)
    options = Options(studies=arguments.studies, ablation=ablation, jobs=arguments.jobs)
    promised = summary.targets(evaluate(options, publish=arguments.publish))
    print(f"{options.folder / 'report.html'}: {sum(each.met for each in promised)} of {len(promised)} targets are met")


if __name__ == "__main__":
    main()
