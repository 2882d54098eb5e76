"""Replicas that share their sessions, and a proxy in front of them: shared by the tests of Envoy and nginx."""
import concurrent.futures
import json
import pathlib
import random
import shutil
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "integration"))
from shared_sessions_test import Redis
from tlind_process import *
from tlin.v1 import sessions_pb2, sessions_pb2_grpc

DEPLOY = ROOT / "deploy"
SESSIONS = [f"session-{i}" for i in range(12)]
# What a proxy or a connection makes of a replica that is gone; nothing else is tried again.
GONE = (Code.UNAVAILABLE, Code.INTERNAL, Code.CANCELLED, Code.UNKNOWN)


class Replicas:
    """Three daemons and their Redis."""

    def __init__(self, test):
        self.redis = Redis()
        test.addCleanup(self.redis.stop)
        self.daemons = []
        for _ in range(3):
            daemon = Tlind(MODELS / "tconst-demo", f"--session_redis=redis://127.0.0.1:{self.redis.port}",
                           "--session_lease_seconds=2", "--log_requests=false")
            test.addCleanup(daemon.__exit__, None, None, None)
            self.daemons.append(daemon)

    def served(self):
        """Requests by replica."""
        return [daemon.scrape().total("tlin_requests_total") for daemon in self.daemons]


class Conversation:
    """Turns of one session through a proxy. What the session is told to be durable with is acknowledged:
    it may never be missing."""

    def __init__(self, name, channel):
        self.name = name
        self.stub = generation_pb2_grpc.GenerationStub(channel)
        self.sessions = sessions_pb2_grpc.SessionsStub(channel)
        self.header = [("tlin-session", name)]
        self.tokens = 0      # acknowledged
        self.perhaps = {0}   # what the turns since may have added to them
        self.failures = []   # codes of the turns that failed

    def create(self):
        self.sessions.CreateSession(sessions_pb2.CreateSessionRequest(session_id=self.name),
                                    metadata=self.header)

    def acknowledged(self, tokens):
        """Whether the session is durable with that many; False where its replica died first."""
        wanted = sessions_pb2.GetSessionRequest(session_id=self.name)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                session = self.sessions.GetSession(wanted, metadata=self.header, timeout=PATIENCE)
            except grpc.RpcError:
                return False
            if session.tokens != tokens:
                return False
            if session.durable:
                return True
        raise AssertionError(f"{self.name} does not become durable")

    def turn(self, rng):
        """One turn, repeated until it is answered. Nothing acknowledged may be missing then."""
        ids = random_tokens(rng.randrange(1000), rng.randrange(1, 40), 1000)
        made = rng.randrange(5, 40)
        message = request(ids=ids, max_new_tokens=made, ignore_eos=True, session_id=self.name)
        end = time.monotonic() + PATIENCE
        while True:
            try:
                events = list(self.stub.Generate(message, metadata=self.header, timeout=PATIENCE))
                break
            except grpc.RpcError as error:
                # Who died holds the session until its lease is over.
                leased = "in use at another server" in error.details()
                assert error.code() in GONE or leased, error
                assert time.monotonic() < end, error
                self.failures.append(error.code())
                # It may have been cut off before the answer or after: then it is in the session.
                self.perhaps |= {more + len(ids) + made for more in self.perhaps}
                time.sleep(0.05)
        before = events[-1].finished.usage.prompt_tokens - len(ids)
        assert before - self.tokens in self.perhaps, (
            f"{self.name}: had {self.tokens} tokens, and now {before}: {self.perhaps}")
        after = before + len(ids) + made
        if self.acknowledged(after):
            self.tokens, self.perhaps = after, {0}
        else:
            self.perhaps |= {after - self.tokens}


def homes(replicas, conversations):
    """The replica that takes each session's turns; an assertion where one's go to several."""
    found = []
    for conversation in conversations:
        before = replicas.served()
        for _ in range(3):
            conversation.turn(random.Random(1))
        added = [now - then for now, then in zip(replicas.served(), before)]
        assert sorted(added) == [0, 0, 3], (conversation.name, added)
        found.append(added.index(3))
    return found


def begin(channel):
    """The sessions' conversations, each on a connection of its own that channel() makes."""
    conversations = [Conversation(name, channel()) for name in SESSIONS]
    for conversation in conversations:
        conversation.create()
    return conversations


def check_a_dying_replica(test, replicas, conversations):
    """Sessions stay at their replica; one is killed, and its sessions go on elsewhere."""
    victim = take_the_busiest(replicas, homes(replicas, conversations))
    converse(conversations, turns=10, while_talking=victim.process.kill)
    # Where a turn was cut off, it was of the replica that died.
    test.assertLess(sum(bool(each.failures) for each in conversations), len(SESSIONS))
    for conversation in conversations:
        conversation.turn(random.Random(0))
    for daemon in replicas.daemons:
        test.assertEqual(daemon.scrape()["tlin_preemptions_total"], 0)


def take_the_busiest(replicas, homes):
    """Out of the replicas, the one with the most sessions."""
    assert len(set(homes)) > 1, "the hash sends all to one replica"
    return replicas.daemons.pop(max(set(homes), key=homes.count))


def converse(conversations, turns, while_talking=lambda: None):
    """All at once, each `turns` turns; `while_talking` runs when about a third of them are taken."""
    talked = threading.Semaphore(0)

    def talk(conversation):
        rng = random.Random(conversation.name)
        for _ in range(turns):
            conversation.turn(rng)
            talked.release()
    with concurrent.futures.ThreadPoolExecutor(len(conversations)) as pool:
        futures = [pool.submit(talk, conversation) for conversation in conversations]
        for _ in range(len(conversations) * turns // 3):
            talked.acquire(timeout=PATIENCE)
        while_talking()
        for future in futures:
            future.result()
