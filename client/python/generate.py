#!/usr/bin/python3
"""Streams a continuation from tlind: an example to start a Python client from.

    apt-get install python3-grpcio python3-protobuf protobuf-compiler protobuf-compiler-grpc
    client/python/make_stubs.sh
    client/python/generate.py "Once upon a time"

Exits with 1 and one line on stderr where the call fails.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "stubs"))

import grpc
from tlin.v1 import generation_pb2, generation_pb2_grpc


def generate(stub, text, max_new_tokens=256, temperature=1.0, deadline=None):
    """Yields the text as it comes. The stream is cancelled when the caller stops reading.

    `deadline` is in seconds for the whole answer. Raises grpc.RpcError where the server refuses
    or fails.
    """
    request = generation_pb2.GenerateRequest(
        text=text,
        sampling=generation_pb2.Sampling(temperature=temperature),
        stopping=generation_pb2.Stopping(max_new_tokens=max_new_tokens),
    )
    events = stub.Generate(request, timeout=deadline)
    try:
        for event in events:
            if event.HasField("chunk"):
                yield event.chunk.text
    finally:
        events.cancel()


def open_channel(options):
    """A channel that is encrypted, and proves who calls, as the options say."""
    def read(path):
        return pathlib.Path(path).read_bytes() if path else None
    if not options.tls_ca:
        return grpc.insecure_channel(options.address)
    credentials = grpc.ssl_channel_credentials(
        read(options.tls_ca), read(options.tls_key), read(options.tls_cert))
    if options.token_file:
        token = read(options.token_file).decode().strip()
        credentials = grpc.composite_channel_credentials(
            credentials, grpc.access_token_call_credentials(token))
    return grpc.secure_channel(options.address, credentials)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("--address", default="127.0.0.1:50051")
    parser.add_argument("--max_new_tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--deadline", type=float, help="seconds for the whole answer")
    parser.add_argument("--tls_ca", help="PEM file: who signed the server's certificate; encrypts")
    parser.add_argument("--tls_cert", help="PEM file: the client's certificate")
    parser.add_argument("--tls_key", help="PEM file: its private key")
    parser.add_argument("--token_file", help="holds the bearer token; needs --tls_ca")
    options = parser.parse_args()

    with open_channel(options) as channel:
        stub = generation_pb2_grpc.GenerationStub(channel)
        try:
            for text in generate(stub, options.text, options.max_new_tokens, options.temperature,
                                 options.deadline):
                print(text, end="", flush=True)
            print()
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
