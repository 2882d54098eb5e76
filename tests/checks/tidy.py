#!/usr/bin/env python3
"""Runs clang-tidy over the sources that a build folder has compiled: tidy.py FOLDER.

Most of its time goes into the libraries' headers, so the files of a folder are read as one, which
takes a quarter of the time. A group in which anything is wrong, be it only that two of its files
have the same name in their unnamed namespaces, is read again file by file: what that says counts.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("engine/", "server/", "client/")
# Read by itself: programs' main, what is compiled for one or each of several instruction sets, and
# what has using-declarations (misc-unused-using-decls looks at the main file alone).
ALONE = re.compile(r"^int main\(|hwy/foreach_target\.h|<immintrin\.h>|^\s*using [\w:]+::\w+;", re.MULTILINE)


def flags(command):
    """The arguments without compiler, source and output."""
    arguments = shlex.split(command)
    arguments = arguments[next(i for i, argument in enumerate(arguments) if argument.startswith("-")):]
    kept = iter(arguments)
    for argument in kept:
        if argument in ("-o", "-c", "-MF", "-MT"):
            next(kept)
        elif argument != "-MD":
            yield argument


def clang_tidy(file, arguments):
    command = ["clang-tidy", "--quiet", r"--header-filter=(engine|server|client|tests)/.*\.(h|cc)$", str(file)]
    run = subprocess.run(command + ["--", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    noise = re.compile(r"\d+ warnings? (generated|treated)")  # counts those of others' headers
    said = run.stdout + "".join(line for line in run.stderr.splitlines(True) if not noise.match(line))
    return run.returncode, said


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    groups = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(entry["directory"], entry["file"])
        file = os.path.relpath(path, ROOT)
        if not file.startswith(FOLDERS) or not file.endswith(".cc") or any(file in files for files in groups.values()):
            continue
        alone = file if ALONE.search(path.read_text(encoding="utf-8")) else ""
        groups.setdefault((os.path.dirname(file), alone, tuple(flags(entry["command"]))), []).append(file)

    def check(key):
        _, _, arguments = key
        files = groups[key]
        if len(files) > 1:
            together = build / f"tidy_{files[0].replace('/', '_')}"
            together.write_text("".join(f'#include "{ROOT}/{file}"\n' for file in files), encoding="utf-8")
            status, said = clang_tidy(together, arguments)
            if status == 0:
                return []
            print(f"{os.path.dirname(files[0])} is read file by file:", said.partition("\n")[0])
        return [said for status, said in (clang_tidy(file, arguments) for file in files) if status != 0]

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        largest_first = sorted(groups, key=lambda key: -len(groups[key]))
        faults = [said for found in pool.map(check, largest_first) for said in found]
    print("\n".join(faults + [f"{sum(map(len, groups.values()))} files, {len(faults)} with faults"]))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
