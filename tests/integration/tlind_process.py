"""Starts build/bin/tlind as users do and talks to it: shared by the integration tests.

TLIN_BIN names the folder of the programs; ctest sets it. TLIN_SANITIZED is set where they are
built with a sanitizer, whose own memory says nothing about theirs. TLIN_EMULATOR is what runs
them where they are another processor's.
"""
import collections
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import grpc

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TLIN_BIN", ROOT / "build" / "bin"))
EMULATOR = shlex.split(os.environ.get("TLIN_EMULATOR", ""))
SANITIZED = bool(os.environ.get("TLIN_SANITIZED"))
MODELS = ROOT / "deploy" / "models"
SCRATCH = tempfile.TemporaryDirectory(prefix="tlin-integration-")
# Of everything that is waited for: far beyond what a busy machine takes.
PATIENCE = 120

STUBS = pathlib.Path(SCRATCH.name) / "stubs"
subprocess.run([ROOT / "client" / "python" / "make_stubs.sh", STUBS], check=True)
sys.path.insert(0, str(STUBS))
from tlin.v1 import generation_pb2 as pb
from tlin.v1 import generation_pb2_grpc

Code = grpc.StatusCode


def command(program, *arguments):
    """What a process of ours is started with."""
    return [*EMULATOR, BIN / program, *arguments]


def run(program, *arguments, stdin=""):
    """A program of ours, to its end."""
    return subprocess.run(command(program, *arguments), input=stdin, capture_output=True,
                          text=True, timeout=PATIENCE)


def wait_until(condition, what):
    """Polls until condition() is true, and returns what it returned."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE} s in vain for {what}")
        time.sleep(0.01)


def scratch_path(name):
    return pathlib.Path(tempfile.mkdtemp(dir=SCRATCH.name)) / name


class Tlind:
    """A daemon on free ports. Use as a context manager; what is left is killed at the end."""

    def __init__(self, model, *flags, program="tlind", wait=True):
        self.directory = scratch_path("")
        self.port_file = self.directory / "ports"
        self.stdout_path = self.directory / "stdout"
        self.stderr_path = self.directory / "stderr"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.process = subprocess.Popen(
                command(program, f"--model={model}", "--listen=127.0.0.1:0",
                        "--metrics_listen=127.0.0.1:0", f"--port_file={self.port_file}", *flags),
                stdout=out, stderr=err)
        self.channels = []
        if wait:
            self.wait_until_ready()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for channel in self.channels:
            channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind is not None:
            sys.stderr.write(f"tlind's stderr ends with:\n{self.stderr()[-3000:]}\n")

    def wait_until_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"tlind ended with {self.process.returncode}: {self.stderr()}")
            return self.port_file.exists() and self.stdout()
        wait_until(ready, "the port file and the ready line")
        self.address, self.metrics_address = self.port_file.read_text().split()

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    @property
    def metrics_port(self):
        return int(self.metrics_address.rpartition(":")[2])

    def stdout(self):
        return self.stdout_path.read_text()

    def stderr(self):
        return self.stderr_path.read_text()

    def log_lines(self):
        """Every whole line of stderr, parsed: raises where one is not a JSON object."""
        text = self.stderr()
        lines = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        assert all(isinstance(line, dict) for line in lines)
        return lines

    def channel(self, *options):
        """A connection of its own."""
        channel = grpc.insecure_channel(
            self.address, options=[("grpc.use_local_subchannel_pool", 1),
                                   ("grpc.max_send_message_length", -1),
                                   ("grpc.max_receive_message_length", -1), *options])
        self.channels.append(channel)
        return channel

    def stub(self, *options):
        return generation_pb2_grpc.GenerationStub(self.channel(*options))

    def scrape(self):
        with urllib.request.urlopen(f"http://{self.metrics_address}/metrics", timeout=60) as answer:
            return Scrape(answer.read().decode())

    def resident_bytes(self):
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def wait_until_idle(self):
        """Polls until no request is left; returns a scrape of then.

        It is one more scrape: each reads counters before gauges, so the one that first saw an
        idle engine may lack what was counted at the very end.
        """
        return self.wait_until_zero("tlin_slots_used", "tlin_requests_running",
                                    "tlin_requests_waiting")

    def wait_until_no_request(self):
        """As wait_until_idle, where sessions keep slots."""
        return self.wait_until_zero("tlin_requests_running", "tlin_requests_waiting")

    def wait_until_zero(self, *names):
        def zero():
            scrape = self.scrape()
            return not any(scrape[name] for name in names)
        wait_until(zero, f"no {names}")
        return self.scrape()

    def terminate(self):
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self):
        return self.process.wait(timeout=PATIENCE)


class Scrape:
    """The text format: scrape["name"] of the only series, or scrape["name", "label=value"]."""

    def __init__(self, text):
        self.text = text
        self.types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
        self.series = collections.defaultdict(dict)
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.M):
            self.series[name][frozenset(re.findall(r'(\w+)="([^"]*)"', labels))] = float(value)

    def __getitem__(self, key):
        name, *wanted = (key,) if isinstance(key, str) else key
        wanted = {tuple(label.split("=", 1)) for label in wanted}
        found = [value for labels, value in self.series[name].items() if wanted <= labels]
        if len(found) != 1:
            raise KeyError(f"{key}: {len(found)} series")
        return found[0]

    def total(self, name):
        return sum(self.series[name].values())


def request(text=None, ids=None, max_new_tokens=8, **fields):
    """A GenerateRequest; fields are sampling's or stopping's, or the request's own."""
    message = pb.GenerateRequest()
    if text is not None:
        message.text = text
    if ids is not None:
        message.token_ids.ids.extend(ids)
    message.stopping.max_new_tokens = max_new_tokens
    for name, value in fields.items():
        owner = next(part for part in (message.sampling, message.stopping, message.output, message)
                     if name in part.DESCRIPTOR.fields_by_name)
        if isinstance(value, list):
            getattr(owner, name).extend(value)
        else:
            setattr(owner, name, value)
    return message


Answer = collections.namedtuple("Answer", "started text token_ids finished chunks")


def generate(stub, message, timeout=PATIENCE):
    """Runs a request to its end and checks the order of its events."""
    started, chunks, finished = None, [], None
    for event in stub.Generate(message, timeout=timeout):
        assert finished is None, "an event after Finished"
        kind = event.WhichOneof("event")
        assert (kind == "started") == (started is None), f"{kind} out of order"
        if kind == "started":
            started = event.started
        elif kind == "chunk":
            chunks.append(event.chunk)
        else:
            finished = event.finished
    assert finished is not None, "the stream ended well without Finished"
    return Answer(started, "".join(chunk.text for chunk in chunks),
                  [token for chunk in chunks for token in chunk.token_ids], finished, chunks)


def status_of(call, *arguments, timeout=PATIENCE):
    """(code, message, trailing metadata) of a call or stream that is run to its end."""
    try:
        answer = call(*arguments, timeout=timeout)
        if hasattr(answer, "__next__"):
            collections.deque(answer, maxlen=0)
        return Code.OK, "", {}
    except grpc.RpcError as error:
        return error.code(), error.details(), dict(error.trailing_metadata() or ())


def retry_delay(trailers):
    """Seconds of the RetryInfo in grpc-status-details-bin; None where there is none."""
    details = trailers.get("grpc-status-details-bin", b"")
    name = b"type.googleapis.com/google.rpc.RetryInfo"
    if name not in details:
        return None
    # Any{1: type, 2: RetryInfo{1: Duration{1: seconds, 2: nanos}}}: numbers of one field each.
    value = details[details.index(name) + len(name):]
    assert value[0] == 0x12 and value[2] == 0x0a, value
    fields, at = {}, 4
    while at < len(value):
        field, at, number, shift = value[at] >> 3, at + 1, 0, 0
        while True:
            number |= (value[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if value[at - 1] < 0x80:
                break
        fields[field] = number
    return fields.get(1, 0) + fields.get(2, 0) / 1e9


SERVING, NOT_SERVING = 1, 2


def health(channel, service="", timeout=PATIENCE):
    """What Check says; the messages are one field each, so no stubs are needed."""
    return _health_call(channel.unary_unary, "Check")(service, timeout=timeout)


def watch_health(channel, service="", timeout=PATIENCE):
    """The stream of Watch."""
    return _health_call(channel.unary_stream, "Watch")(service, timeout=timeout)


def _health_call(kind, method):
    return kind(f"/grpc.health.v1.Health/{method}",
                request_serializer=lambda name: b"\n" + bytes([len(name)]) + name.encode(),
                response_deserializer=lambda data: data[1] if data else 0)


def random_tokens(seed, count, vocabulary):
    draw = random.Random(seed)
    return [draw.randrange(vocabulary) for _ in range(count)]
