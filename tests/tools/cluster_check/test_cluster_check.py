"""What can be shown of the cluster check without a cluster: its requests, its waiting, its verdicts, its report."""

import contextlib
import json

import pytest
from kubernetes import client

from tests.tools.cluster_check.kube_api import FakeCluster, kube_api, pod
from tools.cluster_check.cluster import CheckFailed, Cluster, stranger
from tools.cluster_check.commands import Release
from tools.cluster_check.report import Report


@pytest.fixture
def fake():
    return FakeCluster()


@pytest.fixture
def cluster(fake):
    with kube_api(fake) as url:
        yield Cluster(client.ApiClient(client.Configuration(host=url)), "articula", "articula")


def test_ready_means_every_pod_of_the_component_and_at_least_one(fake, cluster):
    """Pods of other components don't count."""
    fake.pods = {"a": pod("a", "triton"), "b": pod("b", "triton"), "c": pod("c", "orthanc", ready=False)}
    assert cluster.wait_ready("triton", seconds=5) == 2
    for component in ("orthanc", "preprocessing"):
        with pytest.raises(CheckFailed, match=component):
            cluster.wait_ready(component, seconds=0.2)


def test_an_eviction_is_asked_for_again_while_the_disruption_budget_refuses(fake, cluster):
    """As a node's drain does."""
    fake.pods = {"a": pod("a", "triton", ready=False), "b": pod("b", "triton")}
    fake.refusals = 2
    assert cluster.evict_one("triton", seconds=3) == "b"
    assert set(fake.pods) == {"a"}


def test_an_eviction_that_is_never_allowed_fails_the_check(fake, cluster):
    """A budget that allows none would block every upgrade of a node."""
    fake.pods, fake.refusals = {"a": pod("a", "triton")}, 1000
    with pytest.raises(CheckFailed, match="could not be evicted"):
        cluster.evict_one("triton", seconds=0.3)


def test_a_stranger_reports_what_it_reaches_and_is_removed(fake, cluster):
    """Its pod fits restricted Pod Security, or the namespace would refuse it."""
    fake.log = "closed triton:8001 timed out\nopen preprocessing:50051\n"
    targets = ["triton:8001", "preprocessing:50051"]
    assert cluster.reachable_from_a_stranger(targets, "image:1", seconds=5) == ["preprocessing:50051"]
    assert fake.pods == {}
    assert fake.created[0]["spec"]["containers"][0]["command"][3:] == targets


def test_the_strangers_program_says_open_and_closed(capsys):
    """The program inside the pod, run here."""
    program = stranger("s", "i", [])["spec"]["containers"][0]["command"][2]
    with kube_api(FakeCluster()) as url, pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["-c", url.removeprefix("http://"), "127.0.0.1:1"])
        exec(program, {})  # noqa: S102 - our own constant
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("open 127.0.0.1:")
    assert second.startswith("closed 127.0.0.1:1 ")


def test_a_missing_service_is_named_by_its_labels(cluster):
    """So that somebody with another chart knows what to set."""
    with pytest.raises(CheckFailed, match=r"app.kubernetes.io/component=orthanc"):
        cluster.service("orthanc")


def test_helm_gets_values_namespace_and_context_and_its_refusal_is_reported(tmp_path, monkeypatch):
    """A program named helm that writes down how it was called."""
    helm = tmp_path / "helm"
    refuse = "case $1 in uninstall) echo no >&2; exit 1;; esac"
    helm.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{refuse}\n')
    helm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    release = Release("articula", "check", "kind", (tmp_path / "values.yaml",))
    release.install(seconds=60)
    with pytest.raises(CheckFailed, match="no"):
        release.remove()
    call = (tmp_path / "calls").read_text().splitlines()[0]
    assert "upgrade --install articula" in call
    assert f"--values {tmp_path / 'values.yaml'}" in call
    assert call.endswith("--wait --timeout 60s --namespace check --kube-context kind")


def test_a_forwarded_port_is_read_from_kubectl_and_kubectl_ends_with_the_body(tmp_path, monkeypatch):
    """A program named kubectl that says what the real one says."""
    kubectl = tmp_path / "kubectl"
    kubectl.write_text('#!/bin/sh\necho "Forwarding from 127.0.0.1:34567 -> 8042"\nexec sleep 60\n')
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with Release("articula", "check", "", ()).forwarded("articula-orthanc", 8042) as url:
        assert url == "http://127.0.0.1:34567"


def test_the_report_holds_every_step_also_the_one_that_failed(tmp_path):
    """Written as it goes, so a check that breaks still leaves one."""
    report = Report(tmp_path)
    with report.step("install") as seen:
        seen["pods"] = 3
    with contextlib.suppress(CheckFailed), report.step("drain"):
        message = "2 of 8 studies failed"
        raise CheckFailed(message)
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["passed"] is False
    assert [(step["name"], step["passed"]) for step in written["steps"]] == [("install", True), ("drain", False)]
    assert "2 of 8 studies failed" in (tmp_path / "report.md").read_text()
