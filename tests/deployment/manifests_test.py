#!/usr/bin/python3
"""What is deployed is valid, and says what the programs understand. Run by ctest.

Some of the validators are of no distribution's packages (kubectl, kubernetes-validate): what is left out
without them is said.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from tlind_process import ROOT, run

DEPLOY = ROOT / "deploy"
BASE = DEPLOY / "kubernetes" / "base"
OVERLAYS = ("cpu", "gpu")


def needs(program):
    return unittest.skipIf(shutil.which(program) is None, f"there is no {program}")


def checked(*arguments, **how):
    done = subprocess.run(arguments, capture_output=True, text=True, **how)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


class FlagsTest(unittest.TestCase):
    """Every --flag of tlind in a file of deploy/ is one that it has."""

    @classmethod
    def setUpClass(cls):
        cls.known = set(re.findall(r"--(\w+)", run("tlind", "--help").stdout))

    def check(self, flags, where):
        names = {re.match(r"--(\w+)", flag).group(1) for flag in flags}
        self.assertTrue(names)
        self.assertEqual(names - self.known, set(), where)

    def test_in_the_compose_file(self):
        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        for name in ("tlind", "tlind-gpu"):
            self.check(services[name]["command"], name)

    def test_in_the_dockerfile(self):
        commands = re.findall(r"^CMD (\[.*?\])$", (ROOT / "Dockerfile").read_text().replace("\\\n", ""),
                              re.MULTILINE)
        self.assertEqual(len(commands), 2)
        for command in commands:
            self.check(json.loads(command), "Dockerfile")

    def test_in_the_service(self):
        unit = (DEPLOY / "systemd" / "tlind.service").read_text()
        self.check(re.findall(r"--\w+", re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE).group(1)), "unit")
        self.check(re.findall(r"--\w+", (DEPLOY / "systemd" / "tlind.default").read_text()), "default")

    def test_in_kubernetes(self):
        container = documents(BASE / "tlind.yaml")[0]["spec"]["template"]["spec"]["containers"][0]
        self.check(container["args"], "tlind.yaml")
        for overlay in OVERLAYS:
            text = (DEPLOY / "kubernetes" / "overlays" / overlay / "kustomization.yaml").read_text()
            self.check(re.findall(r"value: (--\w+)", text), overlay)

    def test_in_the_guide(self):
        said = set(re.findall(r"`--(\w+)", (DEPLOY / "README.md").read_text()))
        clients = set(re.findall(r"--(\w+)", run("tlin", "model", "--help").stdout +
                                 run("tlin", "plan", "--help").stdout))
        self.assertEqual(said - self.known - clients - {"health"}, set())  # Docker's --health-cmd


class ComposeTest(unittest.TestCase):
    @needs("docker-compose")
    def test_it_is_valid(self):
        checked("docker-compose", "-f", DEPLOY / "compose.yaml", "config", "--quiet")

    def test_what_is_mounted_is_there_and_prometheus_knows_where_tlind_is(self):
        config = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        mounted = [volume.split(":")[0] for service in config["services"].values()
                   for volume in service.get("volumes", []) if volume.startswith(".")]
        self.assertGreaterEqual(len(mounted), 3)
        for path in mounted:
            self.assertTrue((DEPLOY / path).exists(), path)
        targets = yaml.safe_load((DEPLOY / "prometheus" / "targets" / "compose.yml").read_text())
        host, _, port = targets[0]["targets"][0].partition(":")
        self.assertIn(host, config["services"])
        self.assertIn(f"--metrics_listen=0.0.0.0:{port}", config["services"][host]["command"])
        source = yaml.safe_load(
            (DEPLOY / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())
        self.assertEqual(source["datasources"][0]["url"], "http://prometheus:9090")


class KubernetesTest(unittest.TestCase):
    def built(self, overlay):
        return checked("kubectl", "kustomize", DEPLOY / "kubernetes" / "overlays" / overlay)

    @needs("kubectl")
    def test_overlays_can_be_built_and_differ_where_they_should(self):
        for overlay, device in zip(OVERLAYS, ("--device=cpu", "--device=cuda:0")):
            objects = {(each["kind"], each["metadata"]["name"]): each
                       for each in yaml.safe_load_all(self.built(overlay))}
            tlind = objects["Deployment", "tlind"]["spec"]["template"]["spec"]["containers"][0]
            self.assertIn(device, tlind["args"])
            self.assertIn("limits", tlind["resources"])
            self.assertEqual("nvidia.com/gpu" in tlind["resources"]["limits"], overlay == "gpu")
            envoy = objects["Deployment", "tlin-envoy"]["spec"]["template"]["spec"]["volumes"][0]
            self.assertIn(("ConfigMap", envoy["configMap"]["name"]), objects)

    @needs("kubectl")
    def test_objects_are_as_the_api_wants_them(self):
        try:
            import kubernetes_validate
        except ImportError:
            self.skipTest("there is no kubernetes-validate (PyPI)")
        for overlay in OVERLAYS:
            for each in yaml.safe_load_all(self.built(overlay)):
                if each["kind"] == "PodMonitor":  # the Prometheus operator's
                    continue
                kubernetes_validate.validate(each, "1.32", strict=True)

    def test_what_refers_to_another_finds_it(self):
        objects = {(each["kind"], each["metadata"]["name"]): each
                   for name in ("tlind", "redis", "envoy", "scaling", "network", "monitoring")
                   for each in documents(BASE / f"{name}.yaml")}
        pod = objects["Deployment", "tlind"]["spec"]["template"]
        ports = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
        self.assertEqual(ports, {"grpc": 50051, "metrics": 9464})
        for selector in (objects["Service", "tlind"]["spec"]["selector"],
                         objects["PodDisruptionBudget", "tlind"]["spec"]["selector"]["matchLabels"],
                         objects["NetworkPolicy", "tlind"]["spec"]["podSelector"]["matchLabels"],
                         objects["PodMonitor", "tlind"]["spec"]["selector"]["matchLabels"]):
            self.assertEqual(selector, pod["metadata"]["labels"])
        self.assertEqual(objects["HorizontalPodAutoscaler", "tlind"]["spec"]["scaleTargetRef"]["name"], "tlind")
        asked = {metric["pods"]["metric"]["name"]
                 for metric in objects["HorizontalPodAutoscaler", "tlind"]["spec"]["metrics"]}
        rules = yaml.safe_load((DEPLOY / "kubernetes" / "adapter-rules.yaml").read_text())["rules"]["custom"]
        self.assertEqual(asked, {rule["name"]["as"] for rule in rules})
        # What the daemon may take to end fits into the time that it gets.
        spec = pod["spec"]
        drain = next(int(arg.partition("=")[2]) for arg in spec["containers"][0]["args"]
                     if arg.startswith("--drain_seconds"))
        pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
        self.assertGreaterEqual(spec["terminationGracePeriodSeconds"], drain + pause + 25)


class VersionTest(unittest.TestCase):
    def test_it_is_the_same_everywhere(self):
        version = re.search(r"project\(tlin VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
        labels = re.findall(r'image\.version="([^"]*)"', (ROOT / "Dockerfile").read_text())
        self.assertEqual(labels, [version, version])
        for overlay, tag in (("cpu", version), ("gpu", f"{version}-cuda")):
            text = (DEPLOY / "kubernetes" / "overlays" / overlay / "kustomization.yaml").read_text()
            self.assertIn(f"newTag: {tag}}}", text)


class ServiceTest(unittest.TestCase):
    @needs("systemd-analyze")
    def test_it_is_valid_and_hardened(self):
        with tempfile.TemporaryDirectory() as folder:
            # The program that it names is not installed here.
            unit = pathlib.Path(folder) / "tlind.service"
            unit.write_text((DEPLOY / "systemd" / "tlind.service").read_text()
                            .replace("/usr/bin/tlind", "/bin/true"))
            checked("systemd-analyze", "verify", "--man=no", unit)
            # In tenths: 15 is what it has.
            checked("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)


if __name__ == "__main__":
    unittest.main()
