#!/usr/bin/python3
"""Bad input of every kind: a clear error, and the daemon serves on. Run by ctest.

After each test a normal request gets the same answer as before it, and in the end the daemon's
memory is within bounds and it ends with 0.
"""
import concurrent.futures
import math
import socket
import struct
import unittest

from tlind_process import *

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
NORMAL = dict(text="The people of the United States", max_new_tokens=16, seed=1)
MB = 1 << 20


def frame(kind, flags, stream, payload, length=None):
    length = len(payload) if length is None else length
    return struct.pack(">I", length)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without the table: HPACK's simplest form."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEADERS = b"".join(literal(name, value) for name, value in (
    (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/tlin.v1.Generation/Generate"),
    (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.daemon = Tlind(MODELS / "tconst-demo", "--log_requests=false")
        cls.stub = cls.daemon.stub()
        cls.answer = generate(cls.stub, request(**NORMAL)).text
        cls.resident = cls.daemon.resident_bytes()

    @classmethod
    def tearDownClass(cls):
        scrape = cls.daemon.wait_until_idle()
        grown = cls.daemon.resident_bytes() - cls.resident
        cls.daemon.terminate()
        code = cls.daemon.exit_code()
        cls.daemon.log_lines()
        cls.daemon.__exit__(None, None, None)
        assert code == 0, code
        assert scrape["tlin_preemptions_total"] == 0
        # The quota of what is being received is 128 MB; the rest is connections and heaps.
        assert SANITIZED or grown < 256 * MB, f"{grown} bytes more than before"

    def tearDown(self):
        """Old connections and new ones are served as before."""
        self.assertEqual(self.daemon.process.poll(), None, "it has died")
        for stub in (self.stub, self.daemon.stub()):
            self.assertEqual(generate(stub, request(**NORMAL)).text, self.answer)

    def send(self, port, data, wait=False):
        """Sends, and closes; with `wait` only after the other side has."""
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
            try:
                connection.sendall(data)
                if wait:
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass
            except OSError:
                pass  # it was closed on us, as it should be

    def test_random_bytes_on_both_ports(self):
        draw = random.Random(11)
        for port in (self.daemon.port, self.daemon.metrics_port):
            for i in range(150):
                data = draw.randbytes(draw.choice((1, 9, 24, 100, 5000, 70_000)))
                self.send(port, data, wait=i % 10 == 0)
        self.daemon.scrape()

    def test_http_of_another_kind(self):
        long_line = b"GET /" + b"a" * 100_000
        for port in (self.daemon.port, self.daemon.metrics_port):
            for data in (b"GET / HTTP/1.1\r\n\r\n", b"POST /metrics HTTP/1.1\r\nContent-Length: 9",
                         b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * 5000, long_line,
                         b"GET /../../etc/passwd HTTP/1.0\r\n\r\n", b"\r\n\r\n", b"\x16\x03\x01\2\0"):
                self.send(port, data)
        self.assertIn("tlin_requests_total", self.daemon.scrape().text)

    def test_truncated_http2(self):
        good = PREFACE + SETTINGS + frame(1, 4, 1, HEADERS) + frame(0, 0, 1, b"\0\0\0\0\5\x12\3abc")
        for end in range(1, len(good), 3):
            self.send(self.daemon.port, good[:end])

    def test_broken_http2(self):
        start = PREFACE + SETTINGS
        open_call = start + frame(1, 4, 1, HEADERS)
        draw = random.Random(12)
        for data in (
                start + frame(1, 4, 1, HEADERS[:-3]),              # headers that end too soon
                start + frame(1, 0, 1, HEADERS),                   # and never
                start + frame(1, 4, 0, HEADERS), start + frame(1, 4, 2, HEADERS),
                start + frame(0, 0, 1, b"data before headers"),
                start + frame(4, 0, 0, b"12345"), start + frame(8, 0, 0, b"\0\0\0\0"),
                start + frame(6, 0, 0, b"ping"), start + frame(0xEE, 0xFF, 7, b"unknown"),
                start + frame(1, 4, 1, b"\xff" * 500), start + frame(0, 0, 1, b"", 0xFFFFFF),
                open_call + frame(0, 1, 1, b"\0\xff\xff\xff\xff"),   # 4 GB are to come
                open_call + frame(0, 1, 1, b"\1\0\0\0\5hello"),      # compressed, with what?
                open_call + frame(0, 1, 1, b"\0\0\0"), open_call + frame(3, 0, 1, b"\0\0\0\x08"),
                open_call + frame(1, 4, 1, HEADERS)):
            self.send(self.daemon.port, data)
        for _ in range(100):
            data = bytearray(open_call + frame(0, 1, 1, b"\0\0\0\0\5\x12\3abc"))
            for _ in range(draw.randrange(1, 6)):
                data[draw.randrange(len(PREFACE), len(data))] = draw.randrange(256)
            self.send(self.daemon.port, bytes(data))

    def test_ten_thousand_connections_opened_and_dropped(self):
        def drop(count):
            for _ in range(count):
                socket.create_connection(("127.0.0.1", self.daemon.port), timeout=PATIENCE).close()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(drop, [1250] * 8))
        # None of them is kept.
        descriptors = pathlib.Path(f"/proc/{self.daemon.process.pid}/fd")
        wait_until(lambda: len(list(descriptors.iterdir())) < 200, "closed connections")

    def test_messages_of_100_mb(self):
        before = self.daemon.scrape()["tlin_requests_total", "outcome=invalid"]
        message = bytes(100 * MB)
        call = self.daemon.channel().unary_stream("/tlin.v1.Generation/Generate")
        code, why, _ = status_of(call, message)
        self.assertEqual(code, Code.INVALID_ARGUMENT)
        self.assertIn("--max_message_bytes is 16777216", why)
        after = self.daemon.scrape()["tlin_requests_total", "outcome=invalid"]
        self.assertEqual(after - before, 1)

        # Several together are more than the daemon is willing to hold. gRPC then cuts streams
        # off (RESOURCE_EXHAUSTED) and closes connections that have none yet (UNAVAILABLE).
        peak = [0]

        def send(_):
            call = self.daemon.channel().unary_stream("/tlin.v1.Generation/Generate")
            code = status_of(call, message)[0]
            peak[0] = max(peak[0], self.daemon.resident_bytes())
            return code

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            codes = set(pool.map(send, range(12)))
        self.assertLessEqual(
            codes, {Code.INVALID_ARGUMENT, Code.RESOURCE_EXHAUSTED, Code.UNAVAILABLE})
        if not SANITIZED:
            self.assertLess(peak[0] - self.resident, 300 * MB)

    def test_bytes_that_are_no_message(self):
        draw = random.Random(13)
        valid = request(**NORMAL).SerializeToString()
        for method in ("Generate", "Score", "Tokenize", "Detokenize", "GetModel"):
            call = self.daemon.channel().unary_stream(f"/tlin.v1.Generation/{method}")
            for data in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\1\xff", b"\x0b" * 200,
                         valid[:-3], *(draw.randbytes(60) for _ in range(10))):
                code, why, _ = status_of(call, data)
                self.assertIn(code, (Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.OK), (data, why))
        call = self.daemon.channel().unary_stream("/tlin.v1.Generation/Generate")
        self.assertEqual(status_of(call, b"\x12\2a\xc3")[:2],
                         (Code.INVALID_ARGUMENT, "text is not valid UTF-8"))
        self.assertEqual(status_of(call, b"")[0], Code.INVALID_ARGUMENT)
        self.assertEqual(status_of(self.daemon.channel().unary_unary("/tlin.v1.Generation/No"), b"")[0],
                         Code.UNIMPLEMENTED)

    def test_fields_out_of_range(self):
        for field, message in (
                ("input", request()),
                ("text", request("")),
                ("token_ids", request(ids=[])),
                ("token_ids", request(ids=[2048])),
                ("token_ids", request(ids=[1, -1])),
                ("token_ids", request(ids=[2**31 - 1])),
                ("temperature", request("x", temperature=math.nan)),
                ("temperature", request("x", temperature=math.inf)),
                ("temperature", request("x", temperature=-1.0)),
                ("top_p", request("x", top_p=math.nan)),
                ("min_p", request("x", min_p=-math.inf)),
                ("repetition_penalty", request("x", repetition_penalty=0.0)),
                ("frequency_penalty", request("x", frequency_penalty=math.nan)),
                ("presence_penalty", request("x", presence_penalty=1e30)),
                ("top_k", request("x", top_k=-5)),
                ("max_new_tokens", request("x", max_new_tokens=0)),
                ("max_new_tokens", request("x", max_new_tokens=-2**31)),
                ("min_new_tokens", request("x", min_new_tokens=9)),
                ("stop", request("x", stop=["s"] * 100_000)),
                ("stop", request("x", stop=["s" * 1_000_000])),
                ("stop", request("x", stop=[""])),
                ("stop_token_ids", request("x", stop_token_ids=list(range(2000)))),
                ("stop_token_ids", request("x", stop_token_ids=[-1])),
                ("logprobs", request("x", logprobs=2**31 - 1))):
            code, why, _ = status_of(self.stub.Generate, message)
            self.assertEqual(code, Code.INVALID_ARGUMENT, (field, why))
            self.assertIn(field, why)
        for message in (pb.ScoreRequest(), pb.ScoreRequest(text=""), pb.ScoreRequest(text="x"),
                        pb.ScoreRequest(token_ids=pb.TokenIds(ids=[1, 5000]))):
            self.assertEqual(status_of(self.stub.Score, message)[0], Code.INVALID_ARGUMENT)
        code, why, _ = status_of(self.stub.Detokenize, pb.DetokenizeRequest(token_ids=[1, -1]))
        self.assertEqual(code, Code.INVALID_ARGUMENT, why)
        self.assertEqual(status_of(self.stub.Generate, request("x", model="gpt"))[0], Code.NOT_FOUND)
        self.assertEqual(status_of(self.stub.Generate, request("x", session_id="s"))[0],
                         Code.NOT_FOUND)

    def test_of_two_inputs_on_the_wire_the_last_counts(self):
        call = self.daemon.channel().unary_stream("/tlin.v1.Generation/Generate")
        both = request(ids=[99_999]).SerializeToString() + request(**NORMAL).SerializeToString()
        events = [pb.GenerateResponse.FromString(data) for data in call(both, timeout=PATIENCE)]
        self.assertEqual("".join(event.chunk.text for event in events), self.answer)

    def test_prompts_beyond_the_limit(self):
        tokens = [1] * ((1 << 20) + 1)
        for message in (request(ids=tokens), request("x " * (7 << 20))):
            code, why, _ = status_of(self.stub.Generate, message)
            self.assertEqual(code, Code.INVALID_ARGUMENT)
            self.assertRegex(why, "104857[56]")
        # As long as can be: there is no room for a new token.
        code, why, _ = status_of(self.stub.Generate, request(ids=tokens[:-1]))
        self.assertEqual(code, Code.INVALID_ARGUMENT, why)


if __name__ == "__main__":
    unittest.main()
