#!/usr/bin/env python3
"""Holds README.md against the programs: its flags are tlind's, its metrics are exported, its
links lead somewhere.

  readme_check.py TLIND
  readme_check.py EMULATOR ARGUMENT... TLIND

Prints one line a fault and exits 1 where there is any. Run by ctest.
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def section(text, title):
    """The text below a heading of the second level."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    if found is None:
        sys.exit(f"README.md has no section '{title}'")
    return found.group(1)


def faults(readme, tlind):
    help_text = subprocess.run([*tlind, "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(re.findall(r"^  --(\w+)", help_text, re.M))
    told = set(re.findall(r"`--(\w+)", section(readme, "Flags")))
    for flag in sorted(flags - told):
        yield f"the flag --{flag} is not told"
    for flag in sorted(told - flags):
        yield f"--{flag} is no flag of tlind"

    exported = set()
    for file in (ROOT / "server").glob("*.cc"):
        exported |= set(re.findall(r'"((?:tlin|process)_\w+)"', file.read_text(encoding="utf-8")))
    told = set(re.findall(r"`((?:tlin|process)_\w+)", section(readme, "Metrics")))
    for metric in sorted(exported - told):
        yield f"the metric {metric} is not told"
    for metric in sorted(told - exported):
        yield f"{metric} is no metric of tlind"

    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", readme):
        if not link.startswith("http") and not (ROOT / link).exists():
            yield f"the link {link} leads nowhere"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    found = [f"README.md: {fault}" for fault in faults((ROOT / "README.md").read_text(encoding="utf-8"), sys.argv[1:])]
    print("\n".join(found + [f"{len(found)} faults"]))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
