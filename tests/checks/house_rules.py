#!/usr/bin/env python3
"""Holds the tree against its own rules: include edges, file lengths, formatting of names.

Prints one line a fault and exits 1 where there is any. Run by ctest.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LINES = 400
CODE = {".h", ".cc", ".cu", ".cuh", ".py", ".sh", ".proto"}
# Tables that a program wrote.
GENERATED = {"engine/tokenizer/unicode_tables.cc"}

# folder -> folders that its files may include from. The longest match of a file's path counts;
# a file named in full is its own entry. Tests may include anything.
EDGES = {
    "engine/base": ["engine/base"],
    "engine/token.h": [],
    "engine/tokenizer": ["engine/tokenizer", "engine/base", "engine/token.h"],
    "engine/backend": ["engine/backend/*", "engine/base", "engine/token.h"],
    "engine/backend/factory.cc": ["engine/backend/*", "engine/backend/cpu", "engine/base"],
    "engine/backend/cpu": ["engine/backend/cpu", "engine/backend/*", "engine/base", "engine/token.h"],
    "engine/model": ["engine/model", "engine/backend/*", "engine/base", "engine/token.h",
                     "engine/step_plan.h", "engine/model_runner.h"],
    "engine": ["engine/*", "engine/base", "engine/tokenizer"],
    "engine/load_engine.h": ["engine/*", "engine/base", "engine/tokenizer", "engine/model", "engine/backend/*"],
    "engine/load_engine.cc": ["engine/*", "engine/base", "engine/tokenizer", "engine/model", "engine/backend/*"],
    "server": ["server", "engine/*", "engine/base", "engine/tokenizer", "engine/model/config.h", "tlin/v1", "google/rpc"],
    "client": ["client", "tlin/v1", "google/rpc", "grpc/health/v1"],
    # The closed forms of `tlin plan` are the engine's own: written once.
    "client/plan_command.cc": ["client", "engine/model/config.h", "engine/model/cost_model.h",
                               "engine/backend/dtype.h", "engine/backend/kv_block.h", "engine/base", "tlin/v1"],
}
FORBIDDEN_IN_ENGINE = re.compile(r"grpc|protobuf|prometheus|\.pb\.h")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def allowed_edges(path):
    best = max((key for key in EDGES if path == key or path.startswith(key + "/")), key=len, default=None)
    return None if best is None else EDGES[best]


def allows(edges, include):
    for edge in edges:
        if edge.endswith("/*"):  # files directly in that folder
            if include.rpartition("/")[0] == edge[:-2]:
                return True
        elif include == edge or include.startswith(edge + "/"):
            return True
    return False


def check_includes(path, lines):
    edges = allowed_edges(path)
    if edges is None:
        return
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, include = match.groups()
        if path.startswith("engine/") and FORBIDDEN_IN_ENGINE.search(include):
            yield f"{path}:{number}: {include} is the server's: engine/ knows no gRPC, protobuf or Prometheus"
        ours = include.startswith(("engine/", "server/", "client/", "tlin/", "tests/"))
        own_target = quote == '"' and ours
        if own_target and not allows(edges, include):
            yield f"{path}:{number}: may not include {include}"


def check_guard(path, lines):
    if not path.endswith(".h"):
        return
    guard = "TLIN_" + re.sub(r"[^A-Za-z0-9]", "_", path).upper() + "_"
    if not any(line.strip() == f"#ifndef {guard}" for line in lines):
        yield f"{path}:1: include guard is not {guard}"


def main():
    faults, files = [], 0
    for folder in ("engine", "server", "client", "proto", "tests", "deploy"):
        for file in sorted((ROOT / folder).rglob("*")):
            path = file.relative_to(ROOT).as_posix()
            if file.suffix not in CODE or not file.is_file():
                continue
            files += 1
            lines = file.read_text(encoding="utf-8").splitlines()
            if len(lines) > MAX_LINES and path not in GENERATED:
                faults.append(f"{path}:{MAX_LINES}: {len(lines)} lines; none is over {MAX_LINES}")
            faults.extend(check_guard(path, lines))
            if not path.startswith("tests/"):
                faults.extend(check_includes(path, lines))
    print("\n".join(faults + [f"{files} files, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
