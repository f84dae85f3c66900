"""``make cluster-check``: install the chart on a real cluster and see that it keeps what it promises.

Needs helm, kubectl and a context that may make a namespace. It installs, waits, has a synthetic knee analysed, evicts a
Triton pod while studies run, looks whether the NetworkPolicies hold, and removes the release. ``build/cluster-check``
gets a report after every step. Nothing here was run against a real cluster by its authors: they have none.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from kubernetes import client, config

from services.common.status import StudyState
from tools.cluster_check.cluster import CheckFailed, Cluster
from tools.cluster_check.commands import Release
from tools.cluster_check.report import Report
from tools.demo.orthanc import Orthanc
from tools.demo.send import study_of
from tools.drill.results import result_sets, wait_final
from tools.phantom.study import write_study
from tools.stack.state import StackState

OUT = Path("build/cluster-check")
COMPONENTS = ("triton", "preprocessing", "orthanc")
_PORTS = {"preprocessing": (50051, 9100), "triton": (8001, 8002)}


def main() -> int:
    """Run all steps; exit status 0 where all passed."""
    options = _options()
    password = os.environ.get("ARTICULA_PASSWORD", "")
    if not password:
        print("Set ARTICULA_PASSWORD to the password of the Orthanc user named by --user.")
        return 2
    config.load_kube_config(context=options.context or None)
    release = Release(options.release, options.namespace, options.context, tuple(options.values))
    cluster = Cluster(client.ApiClient(), options.namespace, options.release)
    report = Report(OUT)
    try:
        check(cluster, release, report, options=options, password=password)
    except CheckFailed:
        return 1
    finally:
        if not options.keep:
            with report.step("remove"):
                release.remove()
    return 0 if report.passed else 1


def check(cluster: Cluster, release: Release, report: Report, *, options: argparse.Namespace, password: str) -> None:
    """Every step in order; the first that fails ends it with ``CheckFailed``."""
    with report.step("install"):
        release.install(seconds=options.seconds)
    with report.step("wait until ready") as seen:
        for component in COMPONENTS:
            seen[component] = cluster.wait_ready(component, seconds=options.seconds)
    with release.forwarded(cluster.service("orthanc").metadata.name, 8042) as url:
        orthanc = _session(url, options.user, password)
        with report.step("one study") as seen:
            seen.update(analyse(orthanc, [1], seconds=options.seconds))
        with report.step("drain a Triton pod under load") as seen:
            uids = send(orthanc, range(2, 2 + options.studies))
            seen["evicted"] = cluster.evict_one("triton", seconds=options.seconds)
            seen.update(outcomes(orthanc, uids, seconds=options.seconds))
    with report.step("a stranger reaches nothing") as seen:
        names = {component: cluster.service(component).metadata.name for component in _PORTS}
        targets = [f"{names[component]}:{port}" for component, ports in _PORTS.items() for port in ports]
        image = cluster.pods("preprocessing")[0].spec.containers[0].image
        reached = cluster.reachable_from_a_stranger(targets, image, seconds=options.seconds)
        seen["tried"] = len(targets)
        if reached:
            message = f"a pod without labels reaches {', '.join(reached)}: does the network plugin enforce policies?"
            raise CheckFailed(message)


def analyse(orthanc: Orthanc, seeds: list[int], *, seconds: float) -> dict[str, object]:
    """Send synthetic studies and wait for their results; raises ``CheckFailed``."""
    return outcomes(orthanc, send(orthanc, seeds), seconds=seconds)


def send(orthanc: Orthanc, seeds: range | list[int]) -> list[str]:
    """Store one synthetic study a seed; their StudyInstanceUIDs."""
    uids = []
    for seed in seeds:
        with TemporaryDirectory() as folder:
            write_study(Path(folder), seed, ("ACL",))
            for path in sorted(each for each in Path(folder).rglob("*") if each.is_file()):
                orthanc.store(path.read_bytes())
            uids.append(study_of(Path(folder)) or "")
    return uids


def outcomes(orthanc: Orthanc, uids: list[str], *, seconds: float) -> dict[str, object]:
    """Each study must be done with exactly one manifest; raises ``CheckFailed``."""
    states = wait_final(orthanc, uids, seconds=seconds)
    sets = result_sets(orthanc)
    bad = [uid for uid in uids if states[uid] is not StudyState.DONE or len(sets[uid].manifests) != 1]
    if bad:
        words = ", ".join(f"{states[uid]} with {len(sets[uid].manifests)} manifests" for uid in bad)
        message = f"{len(bad)} of {len(uids)} studies did not end in exactly one result: {words}"
        raise CheckFailed(message)
    return {"studies": len(uids)}


def _session(url: str, user: str, password: str) -> Orthanc:
    return Orthanc(StackState(0, url, 0, "", user, password, "", ""))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make cluster-check", description=__doc__)
    parser.add_argument("--values", type=Path, action="append", required=True, help="values of the chart; repeatable")
    parser.add_argument("--user", required=True, help="an Orthanc user; its password is in ARTICULA_PASSWORD")
    parser.add_argument("--context", default="", help="context of the kubeconfig; the current one unless given")
    parser.add_argument("--namespace", default="articula-check")
    parser.add_argument("--release", default="articula")
    parser.add_argument("--studies", type=int, default=8, help="studies under way while a pod is evicted")
    parser.add_argument("--seconds", type=int, default=900, help="longest wait of each step")
    parser.add_argument("--keep", action="store_true", help="leave the release installed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
