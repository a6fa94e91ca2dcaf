"""Starts a cluster as a new user would and uses it with grpcurl and with a generated client."""

import sys
from pathlib import Path

import lines_to_paste
import with_client
import with_grpcurl
import with_retries
from checks import Checks
from cluster import Cluster


def main(binary: str, work: Path) -> int:
    checks = Checks()
    with Cluster(binary, work) as cluster:
        for part in (lines_to_paste, with_grpcurl, with_client):
            checks.part(part.__doc__, lambda: part.run(checks, cluster))
        checks.part("Ctrl-C ends the cluster", lambda: end(checks, cluster))
    checks.part(with_retries.__doc__, lambda: with_retries.run(checks, binary, work / "retries"))
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 0 if checks.failed == 0 and checks.passed > 0 else 1


def end(checks: Checks, cluster: Cluster) -> None:
    code = cluster.interrupt()
    checks.equal("the cluster's exit code after Ctrl-C", code, 0)
    checks.equal("replicas that still listen", cluster.listening(), [])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
