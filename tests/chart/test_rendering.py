"""What helm makes of the chart for every example: valid objects, restricted pods, and no contradictions."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from services.forwarder.settings import ForwarderSettings
from services.preprocessing.settings import PreprocessingSettings
from tests.chart.rendering import (
    CHART,
    EXAMPLES,
    NAMESPACE,
    ROOT,
    Manifest,
    containers,
    environment,
    helm,
    named,
    needs_helm,
    of_kind,
    pods,
    refusal,
    rendered,
)
from tests.images.dockerfile import parse

pytestmark = needs_helm
every = pytest.mark.parametrize("example", EXAMPLES)
CRDS = {path.stem: json.loads(path.read_text()) for path in (Path(__file__).parent / "crds").glob("*.json")}


@every
def test_helm_finds_nothing_to_complain_about(example):
    """``helm lint --strict``, the schema of the values included."""
    answer = helm("lint", "--strict", str(CHART), "--values", str(CHART / "examples" / f"{example}.yaml"))
    assert answer.returncode == 0, answer.stdout


@every
@pytest.mark.parametrize("version", ["1.33", "1.34", "1.35", "1.36", "1.37"])
def test_every_object_is_one_that_kubernetes_knows(example, version):
    """Strictly, by the schemas of Kubernetes itself, and by ours for the kinds of operators."""
    for each in rendered(example):
        if schema := CRDS.get(each["kind"]):
            jsonschema.validate(each, schema)
        else:
            kubernetes_validate.validate(each, version, strict=True)


@every
def test_every_pod_is_restricted(example):
    """No root, no writable root, no capabilities, no token of the cluster, and no variables of other Services."""
    for name, template in pods(rendered(example)):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, "a Service's variables start with ARTICULA_, too"
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] >= 10000
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        assert not any("hostPath" in volume for volume in spec.get("volumes", ()))
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@every
def test_every_container_has_a_fixed_image_and_bounds(example):
    """A tag that can move would change what runs without a release; memory without a limit takes a node down."""
    for name, template in pods(rendered(example)):
        for container in containers(template):
            assert re.search(r":\d+\.\d+[\w.-]*(@sha256:[0-9a-f]{64})?$|:v?\d+\.\d+", container["image"]), name
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


@every
def test_every_mounted_volume_exists_and_every_volume_is_mounted(example):
    """A wrong name is found by the cluster only when the pod starts."""
    objects = rendered(example)
    for name, template in pods(objects):
        volumes = {each["name"] for each in template["spec"].get("volumes", ())}
        if any(each["metadata"]["name"] == name for each in of_kind(objects, "StatefulSet")):
            volumes.add("data")
        mounted = {mount["name"] for each in containers(template) for mount in each.get("volumeMounts", ())}
        assert mounted == volumes, name


@every
def test_variables_are_settings_of_the_services(example):
    """A misspelt variable would be ignored in silence."""
    known = set(PreprocessingSettings.model_fields) | set(ForwarderSettings.model_fields)
    for _, template in pods(rendered(example)):
        for container in containers(template):
            if container["name"] in {"orthanc", "preprocessing"}:
                names = {name.removeprefix("ARTICULA_").lower() for name in environment(container)}
                assert names <= known


def test_times_of_leaving_follow_from_the_deadline_of_a_study():
    """Sleep until callers forgot the pod, then up to one study; the grace period has both and a margin."""
    objects = rendered("hospital", json.dumps({"studySeconds": 240, "triton": {"maxConnectionAgeSeconds": 20}}))
    triton = named(objects, "Deployment", "articula-triton-cpu")["spec"]["template"]["spec"]
    container = triton["containers"][0]
    sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep == 30 + 22, "life of a DNS answer, and of a connection plus a tenth"
    assert environment(container)["ARTICULA_EXIT_SECONDS"] == "240"
    assert triton["terminationGracePeriodSeconds"] == sleep + 240 + 10
    assert "--grpc-max-connection-age=20000" in container["args"]
    service = named(objects, "Deployment", "articula-preprocessing")["spec"]["template"]["spec"]
    assert environment(service["containers"][0])["ARTICULA_STUDY_SECONDS"] == "240"
    assert environment(service["containers"][0])["ARTICULA_DRAIN_SECONDS"] == "240"
    assert service["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 30
    assert service["terminationGracePeriodSeconds"] == 30 + 240 + 10


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"existingSecret": ""}, "no default passwords"),
        ({"triton": {"terminationGracePeriodSeconds": 60}}, "studies would be lost"),
        ({"preprocessing": {"terminationGracePeriodSeconds": 60}}, "studies would be lost"),
        ({"preprocessing": {"inferSeconds": 500}}, "outlast its study"),
        ({"preprocessing": {"min": 9, "max": 8}}, "min is above max"),
        ({"preprocessing": {"maxStudies": 1}}, "some workers would never work"),
        ({"preprocessing": {"exposure": {"enabled": True}}}, "networks of the hospitals"),
        ({"triton": {"cpuPool": {"enabled": False}}}, "no pool"),
        ({"triton": {"cpuPool": {"min": 9}}}, "above max"),
        ({"triton": {"cpuPool": {"min": 0}}}, "needs autoscaling.mode keda"),
        ({"autoscaling": {"warmSpares": 9}}, "above max"),
        ({"autoscaling": {"mode": "keda"}}, "autoscaling.prometheus"),
        ({"monitoring": {"enabled": False}}, "set monitoring.enabled"),
        ({"tls": {"mode": "secrets"}}, "name the Secret"),
        ({"models": {"source": "s3"}}, "models.s3.uri"),
        ({"models": {"source": "s3", "s3": {"uri": "s3://x", "image": {"repository": "x"}}}}, "models.s3.peers"),
        ({"networkPolicies": {"dns": {"peers": []}}}, "none would mean everywhere"),
        ({"preprocessing": {"maxStudies": 16}}, "spoolSize 22Gi is too small"),
        ({"preprocessing": {"spoolSize": "40Gi"}}, "would evict the pod"),
        ({"models": {"source": "pvc"}}, "claimName"),
        ({"orthanc": {"postgresql": {"existingSecret": ""}}}, "existingSecret"),
        ({"preprocessing": {"image": {"tag": "latest"}}}, "tag"),
        ({"preprocesing": {}}, "preprocesing"),
        ({"logLevel": "LOUD"}, "logLevel"),
    ],
)
def test_contradictions_are_refused_with_a_sentence(changes, words):
    """Better at the install than in the night."""
    assert words in refusal("hospital", **changes)


def test_a_gpu_pool_gets_its_gpu_and_rolls_out_without_a_spare_one():
    """Product, resource, slice, priority and strategy, as given."""
    objects = rendered("network")
    slice_, whole = (named(objects, "Deployment", f"articula-triton-{name}")["spec"] for name in ("h100-mig", "l4"))
    pod = slice_["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1
    assert pod["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    assert pod["priorityClassName"] == "articula-serving"
    assert slice_["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert whole["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    for deployment in of_kind(objects, "Deployment"):
        numbers = deployment["spec"]["strategy"]["rollingUpdate"]
        assert numbers["maxSurge"] + numbers["maxUnavailable"] > 0, "else no rollout ever ends"


def engines_of(template: Manifest) -> Manifest:
    return next(each for each in containers(template) if each["name"] == "engines")


def test_every_compute_capability_has_one_build_of_the_engines_that_its_pods_take():
    """The same arguments, so the same set; the Job's name changes with its inputs, because a Job can't be changed."""
    objects = rendered("network")
    jobs = of_kind(objects, "Job")
    built = [engines_of(each["spec"]["template"])["args"] for each in jobs]
    for pool in ("h100-mig", "l4", "t4"):
        template = named(objects, "Deployment", f"articula-triton-{pool}")["spec"]["template"]
        args = engines_of(template)["args"]
        assert args[-2:] == ["--out", "/served"]
        assert built.count(args[:-2]) == 1
        mounts = {each["name"]: each for each in template["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["served"] == {"name": "served", "mountPath": "/models", "readOnly": True}
        assert "engines" not in mounts, "what happens to the cache can't touch a running server"
    assert len(built) == 3
    again = rendered("network", json.dumps({"engineBuild": {"precision": "fp32"}}))
    assert not {each["metadata"]["name"] for each in jobs} & {
        each["metadata"]["name"] for each in of_kind(again, "Job")
    }


def test_a_pod_that_holds_the_last_gpu_can_build_its_engines_on_it():
    """Else pods would wait for a Job that waits for their GPU, and no rollout would end."""
    for pool, resource in (("h100-mig", "nvidia.com/mig-1g.10gb"), ("l4", "nvidia.com/gpu")):
        template = named(rendered("network"), "Deployment", f"articula-triton-{pool}")["spec"]["template"]
        assert engines_of(template)["resources"]["limits"][resource] == 1


def test_engines_that_nobody_may_build_are_only_read():
    """With the build off a pod takes what is in the cache, and there is no Job."""
    objects = rendered("network", json.dumps({"engineBuild": {"enabled": False}}))
    assert not of_kind(objects, "Job")
    engines = engines_of(named(objects, "Deployment", "articula-triton-l4")["spec"]["template"])
    assert engines["args"][-1] == "--no-build"
    assert {"name": "engines", "mountPath": "/engines", "readOnly": True} in engines["volumeMounts"]


@every
def test_what_must_stay_up_has_a_disruption_budget_and_is_spread(example):
    """Each Deployment and StatefulSet is covered by exactly one budget."""
    objects = rendered(example)
    budgets = [each["spec"]["selector"]["matchLabels"].items() for each in of_kind(objects, "PodDisruptionBudget")]
    for each in of_kind(objects, "Deployment", "StatefulSet"):
        labels = each["spec"]["template"]["metadata"]["labels"].items()
        assert sum(budget <= labels for budget in budgets) == 1
        assert each["spec"]["selector"]["matchLabels"].items() <= labels
        if each["kind"] == "Deployment":
            assert len(each["spec"]["template"]["spec"]["topologySpreadConstraints"]) == 2


@pytest.mark.parametrize("example", ["hospital", "network"])
def test_certificates_have_the_names_by_which_services_call_each_other(example):
    """Both gRPC hops are mutual TLS with cert-manager's Secrets."""
    objects = rendered(example)
    of_service = environment(
        named(objects, "Deployment", "articula-preprocessing")["spec"]["template"]["spec"]["containers"][0]
    )
    configuration = json.loads(named(objects, "ConfigMap", "articula-orthanc")["data"]["cluster.json"])
    called = {"triton": of_service["ARTICULA_TRITON"], "preprocessing": configuration["Articula"]["Analysis"]}
    for component, target in called.items():
        host = target.rpartition(":")[0]
        certificate = named(objects, "Certificate", f"articula-{component}")["spec"]
        assert {host, f"{host}.{NAMESPACE}.svc", "localhost"} <= set(certificate["dnsNames"])
        assert named(objects, "Service", host)["spec"]["clusterIP"] == "None", "else one pod would get all"
    for name, template in pods(objects):
        component = name.removeprefix("articula-").partition("-")[0]
        if component in {"orthanc", "preprocessing", "triton"}:
            secrets = {each["secret"]["secretName"] for each in template["spec"]["volumes"] if "secret" in each}
            assert secrets == {f"articula-{component}-tls"}
            assert environment(template["spec"]["containers"][0])["ARTICULA_TLS_FOLDER"] == "/run/tls"


@every
def test_no_password_is_rendered(example):
    """Secrets are named, never made, and no object holds one."""
    objects = rendered(example)
    assert not of_kind(objects, "Secret")
    assert not re.search(
        r'"?password"?: *"?\w', json.dumps([each for each in objects if "data" in each]), re.IGNORECASE
    )


def test_probes_are_the_health_checks_of_the_images():
    """Those are run by the tests of the images; ``--live`` is the one addition, for a service without its Triton."""
    files = {
        "orthanc": "services/orthanc_plugin/Dockerfile",
        "preprocessing": "services/preprocessing/Dockerfile",
        "triton": "model_repository/cpu.Dockerfile",
    }
    for _, template in pods(rendered("hospital")):
        for container in template["spec"]["containers"]:
            check = parse(ROOT / files[container["name"]])[-1].last("HEALTHCHECK").words
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe: dict[str, Any] = container[kind]
                assert [word for word in probe["exec"]["command"] if word != "--live"] == check
                assert probe["timeoutSeconds"] > 10, "the programs give themselves ten seconds"
            assert container["readinessProbe"]["exec"]["command"] == check
    gpu = parse(ROOT / "model_repository/gpu.Dockerfile")[-1].last("HEALTHCHECK").words
    cpu = parse(ROOT / files["triton"])[-1].last("HEALTHCHECK").words
    assert gpu == cpu, "one probe for both Tritons"
