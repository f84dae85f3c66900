"""``python -m tools.model_repository --profile onnx --out DIR``: a Triton model repository for one way to serve.

``tensorrt`` needs ``--engines``, a folder that ``python -m tools.build_engines`` published.
"""

import argparse
import sys
from pathlib import Path

from tools.build_engines.published import EngineMismatch, check_servable, read_engines
from tools.model_repository.generate import write
from tools.model_repository.profiles import PROFILES
from tools.pin_models import REPOSITORY


def main() -> int:
    """Write it, or say in one line why not."""
    parser = argparse.ArgumentParser(prog="python -m tools.model_repository", description=__doc__)
    parser.add_argument("--profile", required=True, choices=sorted(PROFILES))
    parser.add_argument("--out", type=Path, required=True, help="new folder")
    parser.add_argument(
        "--repository", type=Path, default=REPOSITORY, help="models to take; this checkout's by default"
    )
    parser.add_argument("--engines", type=Path, help="published engines, for the profile tensorrt")
    options = parser.parse_args()
    try:
        if options.engines:
            check_servable(options.engines)
        engines = read_engines(options.engines, options.repository) if options.engines else None
        write(options.profile, options.repository, options.out, engines=engines)
    except (EngineMismatch, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
