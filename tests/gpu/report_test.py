#!/usr/bin/python3
"""gpu_bench, on the emulated GPU, the report of what it says, and run.sh where there is no GPU:

    report_test.py EMULATED_GPU_BENCH
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SHAPE = {"architecture": "tconstformer", "vocab_size": 64, "n_embd": 32, "n_head": 2, "n_block": 1,
         "block_depth": 3, "history_window": 16, "generation_window": 32}


def main(bench):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "tiny").mkdir()
        (folder / "tiny/config.json").write_text(json.dumps(SHAPE))
        lines = subprocess.run(
            [bench, "--quick", "--bytes_per_second=3350e9", "--flops_per_second=989e12",
             str(folder / "tiny")], check=True, capture_output=True, text=True).stdout
        (folder / "bench.jsonl").write_text(lines)
        (folder / "load.json").write_text('{"requests": 3}')
        subprocess.run([sys.executable, HERE / "report.py", "a GPU", folder / "bench.jsonl",
                        folder / "load.json", folder], check=True)
        report = json.loads((folder / "report.json").read_text())
        table = (folder / "report.md").read_text()
    kinds = [(line["what"], line.get("batch")) for line in report["bench"]]
    assert kinds == [("decode step", 1), ("sync", None), ("prompt", None), ("attention", 16),
                     ("attention's products by cuBLAS", 16)], kinds
    for line in report["bench"]:
        assert line["shape"] == "tiny" and 0 < line["of_limit"] < 1, line
        assert line["seconds"] > line["least_seconds"] > 0, line
        assert f"| {line['what']} | tiny |" in table, table
    assert report["device"] == "a GPU" and '"requests": 3' in table
    nothing = subprocess.run([bench, "--quick"], capture_output=True, text=True)
    assert nothing.returncode == 2 and "which shapes" in nothing.stderr, nothing
    if shutil.which("nvidia-smi") is None:
        run = subprocess.run([HERE / "run.sh"], capture_output=True, text=True)
        assert run.returncode == 77 and "there is no NVIDIA GPU here" in run.stderr, run


main(*sys.argv[1:])
