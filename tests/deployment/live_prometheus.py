"""A real Prometheus with the configuration of deploy/prometheus, over daemons under load; what its
answers to a dashboard's queries are. Shared by the test of the dashboards and by draw_dashboards.py.
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from tlind_process import *
from tlin.v1 import sessions_pb2, sessions_pb2_grpc

DEPLOY = ROOT / "deploy"


class Prometheus:
    """Use as a context manager. `interval` takes the place of the configuration's, for tests that
    have no minutes to wait; all else is as deployed."""

    def __init__(self, daemons, interval=None):
        self.directory = scratch_path("prometheus")
        shutil.copytree(DEPLOY / "prometheus", self.directory)
        for path in (self.directory / "targets").glob("*.yml"):
            path.unlink()
        (self.directory / "targets" / "test.yml").write_text(
            json.dumps([{"targets": [daemon.metrics_address for daemon in daemons]}]))
        config = self.directory / "prometheus.yml"
        if interval:
            text, changed = re.subn(r"(scrape|evaluation)_interval: \S+", rf"\1_interval: {interval}",
                                    config.read_text())
            assert changed == 2
            config.write_text(text)
        self.log_path = self.directory / "log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", "--web.listen-address=127.0.0.1:0",
                 f"--storage.tsdb.path={self.directory / 'data'}"], stdout=log, stderr=log)
        self.address = wait_until(self.listens_on, "Prometheus")

    def listens_on(self):
        text = self.log_path.read_text()
        if self.process.poll() is not None:
            raise AssertionError(f"Prometheus ended: {text}")
        found = re.search(r'Listening on" address=(\S+)', text)
        return found and "Server is ready" in text and found.group(1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def ask(self, path, **arguments):
        """The `data` of an answer; raises where Prometheus says that the question is wrong."""
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{arguments}: {error.read().decode()}") from None


def read_dashboards():
    return {path.name: json.loads(path.read_text())
            for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))}


def queries(dashboard, rate_interval):
    """(panel, legend, expression as Grafana would send it with everything chosen)."""
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            expression = (target["expr"].replace("$model", ".*").replace("$instance", ".*")
                          .replace("$__rate_interval", rate_interval))
            assert "$" not in expression, expression
            yield panel, target["legendFormat"], expression


class Traffic:
    """Requests of every kind, until stop(): open-loop load, sessions, prompts that share a beginning,
    a queue that overflows, prompts long enough to sync."""

    def __init__(self, daemons, rate):
        self.processes = [
            subprocess.Popen(command("tlin-load", f"--address={daemon.address}", f"--rate={rate}",
                                     "--duration=1h", "--prompt_tokens=20:600", "--max_new_tokens=20:160"),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            for daemon in daemons]
        self.daemons = daemons
        self.turns = 0

    def one_of_each(self):
        """One more turn of a session at each daemon, of a shared prompt, and one that is cancelled."""
        self.turns += 1
        for daemon in self.daemons:
            stub = daemon.stub()
            sessions = sessions_pb2_grpc.SessionsStub(daemon.channels[-1])
            name = f"session-{self.turns % 20}"
            try:
                sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id=name))
            except grpc.RpcError as error:
                assert error.code() == Code.ALREADY_EXISTS, error
            for ids, fields in ((random_tokens(self.turns, 30, 1000), {"session_id": name}),
                                (random_tokens(7, 600, 1000), {}),
                                ([1] * 10, {"max_new_tokens": -1})):
                code, why, _ = status_of(stub.Generate, request(ids=ids, ignore_eos=True, **fields))
                # The queue may be full of the load's.
                assert code in (Code.OK, Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED), why
            stream = stub.Generate(request(ids=[1, 2], max_new_tokens=100_000, ignore_eos=True))
            stream.cancel()
            daemon.channels.pop().close()

    def stop(self):
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait()
