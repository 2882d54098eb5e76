#!/usr/bin/env python3
"""One JSON and one Markdown table of what a GPU did:

    report.py DEVICE BENCH.jsonl LOAD.json FOLDER

BENCH.jsonl is gpu_bench's output, LOAD.json tlin-load's (or -, where there is none). Writes
FOLDER/report.json and FOLDER/report.md.
"""
import json
import pathlib
import sys

HEAD = ("| | shape | batch | context | ms | GB/s | TFLOP/s | of the limit |\n"
        "|---|---|---|---|---|---|---|---|\n")


def row(line):
    limit = f"{100 * line['of_limit']:.0f} %" if "of_limit" in line else ""
    return (f"| {line['what']} | {line['shape']} | {line.get('batch', '')} | {line['context']} "
            f"| {1e3 * line['seconds']:.3f} | {line['gigabytes_per_second']:.0f} "
            f"| {line['teraflop_per_second']:.1f} | {limit} |\n")


def markdown(device, bench, load):
    text = (f"# {device}\n\nMedians. Bytes and FLOPs are closed forms (`tlin plan`); the limit is "
            "the longer of what the data sheet's bandwidth and peak allow.\n\n" + HEAD +
            "".join(map(row, bench)))
    if load is not None:
        text += f"\nEnd to end, `tlin-load`:\n\n```json\n{json.dumps(load, indent=2)}\n```\n"
    return text


def main(device, bench_path, load_path, folder):
    bench = [json.loads(line) for line in pathlib.Path(bench_path).read_text().splitlines()]
    load = None if load_path == "-" else json.loads(pathlib.Path(load_path).read_text())
    folder = pathlib.Path(folder)
    report = {"device": device, "bench": bench, "load": load}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "report.md").write_text(markdown(device, bench, load))


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
