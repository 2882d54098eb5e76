#!/usr/bin/env python3
"""Holds the tree against its own rules: include edges, edges between CMake targets, file lengths,
guards, and what no source has (preprocessor branches, environment variables, leftovers).

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
    "engine/sampling": ["engine/sampling", "engine/base", "engine/token.h"],
    "engine/tokenizer": ["engine/tokenizer", "engine/base", "engine/token.h"],
    "engine/backend": ["engine/backend/*", "engine/base", "engine/sampling", "engine/token.h"],
    "engine/backend/factory.cc": ["engine/backend/*", "engine/backend/cpu", "engine/base"],
    "engine/backend/cpu": ["engine/backend/cpu", "engine/backend/*", "engine/base", "engine/sampling",
                           "engine/token.h"],
    "engine/backend/cuda": ["engine/backend/cuda", "engine/backend/*", "engine/base", "engine/sampling",
                            "engine/token.h"],
    "engine/model": ["engine/model", "engine/backend/*", "engine/base", "engine/sampling", "engine/token.h",
                     "engine/step_plan.h", "engine/model_runner.h"],
    "engine/session": ["engine/session", "engine/base", "engine/token.h", "engine/step_plan.h",
                       "engine/model_runner.h"],
    "engine": ["engine/*", "engine/base", "engine/sampling", "engine/session", "engine/tokenizer"],
    "engine/load_engine.h": ["engine/*", "engine/base", "engine/tokenizer", "engine/model", "engine/backend/*"],
    "engine/load_engine.cc": ["engine/*", "engine/base", "engine/tokenizer", "engine/model", "engine/backend/*"],
    "server": ["server", "engine/*", "engine/base", "engine/session", "engine/tokenizer", "engine/model/config.h", "tlin/v1", "google/rpc"],
    "client": ["client", "tlin/v1", "google/rpc", "grpc/health/v1"],
    # The closed forms of `tlin plan` are the engine's own: written once.
    **{file: ["client", "engine/model/config.h", "engine/model/cost_model.h", "engine/model/traffic_model.h",
              "engine/backend/dtype.h", "engine/backend/kv_block.h", "engine/base", "tlin/v1"]
       for file in ("client/plan_command.cc", "client/plan_device.h", "client/plan_device.cc")},
}
FORBIDDEN_IN_ENGINE = re.compile(r"grpc|protobuf|prometheus|\.pb\.h", re.IGNORECASE)
CUDA = re.compile(r"^(cuda|cublas|gpu/)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')

# target -> its DEPS among our own targets: the design's diagram. In CMake and here alike.
TARGETS = {
    "tlin_base": [],
    "tlin_tokenizer": ["tlin_base"],
    "tlin_backend": [],
    "tlin_sampling": ["tlin_base"],
    "tlin_backend_cpu": ["tlin_backend", "tlin_base", "tlin_sampling"],
    "tlin_backend_factory": ["tlin_backend_cpu"],
    "tlin_model_config": ["tlin_base"],
    "tlin_model": ["tlin_backend", "tlin_base", "tlin_model_config"],
    "tlin_session": ["tlin_base"],
    "tlin_engine": ["tlin_base", "tlin_sampling", "tlin_session", "tlin_tokenizer"],
    "tlin_load_engine": ["tlin_backend_factory", "tlin_engine", "tlin_model"],
    "tlin_server": ["tlin_base", "tlin_model_config", "tlin_proto", "tlin_rpc_status", "tlin_tokenizer"],
    "tlind": ["tlin_engine", "tlin_load_engine", "tlin_server"],
    "tlin_client": ["tlin_health_proto", "tlin_proto", "tlin_rpc_status"],
    "tlin_cpp_example": ["tlin_client"],
    "tlin_command_line": ["tlin_client"],
    "tlin_commands": ["tlin_command_line", "tlin_model_config"],
    "tlin": ["tlin_commands"],
    "tlin_load": ["tlin_command_line"],
    "tlin-load": ["tlin_load"],
}
TARGET = re.compile(r"^tlin_(?:library|program)\(([\w-]+)(.*?)\)", re.DOTALL | re.MULTILINE)

# The build picks files; branches within them are guards, and Highway's compilation of a file for
# each instruction set.
BRANCH = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif)\b(.*)")
LINES_NOWHERE = [
    (re.compile(r"\bgetenv\b|\benviron\b"), ("engine/", "server/", "client/"),
     "a setting from an environment variable"),
    (re.compile(r"\b(TO" r"DO|FIX" r"ME)\b"), ("",), "an open end"),
    (re.compile(r"\bDISABLED_"), ("tests/",), "a disabled test"),
]


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
        if CUDA.match(include) and path.startswith(("engine/", "server/", "client/")) \
                and not path.startswith("engine/backend/cuda/"):
            yield f"{path}:{number}: {include} is CUDA's: only engine/backend/cuda knows it"
        ours = include.startswith(("engine/", "server/", "client/", "tlin/", "tests/"))
        own_target = quote == '"' and ours
        if own_target and not allows(edges, include):
            yield f"{path}:{number}: may not include {include}"


def check_guard(path, lines):
    if not path.endswith(".h"):
        return
    macro = re.sub(r"[^A-Za-z0-9]", "_", path).upper()
    guard = f"TLIN_{macro}_"
    if path.endswith("-inl.h"):  # once for each instruction set
        if not any(guard in line and line.startswith("#if defined(") for line in lines):
            yield f"{path}:1: include guard is not {guard} against HWY_TARGET_TOGGLE"
    elif not any(line.strip() == f"#ifndef {guard}" for line in lines):
        yield f"{path}:1: include guard is not {guard}"


def check_branches(path, lines):
    if not path.startswith(("engine/", "server/", "client/")) or path.startswith("engine/backend/cuda/"):
        return
    if path.endswith(".py") or path.endswith(".sh"):
        return
    for number, line in enumerate(lines, 1):
        match = BRANCH.match(line)
        if match and not re.search(r"TLIN_\w+_H_\b|\bHWY_ONCE\b", match.group(2)):
            yield f"{path}:{number}: a preprocessor branch; the build picks files"


def check_lines(path, lines):
    for pattern, folders, what in LINES_NOWHERE:
        if path.startswith(folders) and path != "tests/checks/house_rules.py":
            yield from (f"{path}:{number}: {what}" for number, line in enumerate(lines, 1) if pattern.search(line))


def check_targets():
    found = {}
    for folder in ("engine", "server", "client"):
        for file in sorted((ROOT / folder).rglob("CMakeLists.txt")):
            path = file.relative_to(ROOT).as_posix()
            for name, body in TARGET.findall(re.sub(r"#.*", "", file.read_text(encoding="utf-8"))):
                deps = body.partition("DEPS")[2].split()
                found[name] = sorted(dep for dep in deps if dep.startswith("tlin"))
                if folder == "engine":
                    yield from (f"{path}: {name} may not link {dep}"
                                for dep in deps if FORBIDDEN_IN_ENGINE.search(dep))
                if found[name] != TARGETS.get(name):
                    yield f"{path}: {name} links {found[name]}; the diagram has {TARGETS.get(name)}"
    yield from (f"{name} is in the diagram and not in CMake" for name in TARGETS if name not in found)


def main():
    faults, files = list(check_targets()), 0
    for folder in ("engine", "server", "client", "proto", "tests", "deploy"):
        for file in sorted((ROOT / folder).rglob("*")):
            path = file.relative_to(ROOT).as_posix()
            if file.suffix not in CODE or not file.is_file():
                continue
            files += 1
            lines = file.read_text(encoding="utf-8").splitlines()
            if len(lines) > MAX_LINES and path not in GENERATED:
                faults.append(f"{path}:{MAX_LINES}: {len(lines)} lines; none is over {MAX_LINES}")
            for check in (check_guard, check_branches, check_lines):
                faults.extend(check(path, lines))
            if not path.startswith("tests/"):
                faults.extend(check_includes(path, lines))
    print("\n".join(faults + [f"{files} files, {len(faults)} faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
