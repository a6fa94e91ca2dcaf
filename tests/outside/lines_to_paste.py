"""The lines that the cluster prints, pasted into a shell"""

import subprocess

from checks import Checks
from cluster import Cluster


def run(checks: Checks, cluster: Cluster) -> None:
    said = cluster.output.read_text()
    lines = [line.strip() for line in said.split("Paste", 1)[-1].splitlines()[1:] if line.strip()]
    checks.equal("lines to paste", len(lines), 3)
    checks.true("one of them is for grpcurl", any(line.startswith("grpcurl ") for line in lines), lines)
    printed = [paste(checks, line) for line in lines]
    # Nobody else used this cluster, so the last line pops what the line before it pushed first.
    checks.equal("what the last line prints", printed[-1], "17")


def paste(checks: Checks, line: str) -> str:
    pasted = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
    checks.true(f"`{line}` works", pasted.returncode == 0, pasted.stderr)
    return pasted.stdout.strip()
