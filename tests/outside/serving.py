"""Replicas as processes of their own, to be killed and started again."""

import secrets
import shutil
import subprocess
import time
from pathlib import Path

from cluster import REPLICAS, START_SECONDS, free_base_port, serves


class Serving:
    """Three replicas. Started by `with`, and killed at its end whatever happened."""

    def __init__(self, binary: str, work: Path) -> None:
        self._binary, self._work = binary, work
        base = free_base_port()
        self.endpoints = [f"127.0.0.1:{base + 1 + replica}" for replica in range(REPLICAS)]
        self._ring = ",".join(f"{replica}=127.0.0.1:{base + 101 + replica}" for replica in range(REPLICAS))
        self._key = secrets.token_hex(32)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Serving":
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        try:
            for replica in range(REPLICAS):
                self.start(replica)
            for replica in range(REPLICAS):
                self.wait_for(replica)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for replica in list(self._processes):
            self.kill(replica)

    def start(self, replica: int) -> None:
        command = [self._binary, "serve", "--id", str(replica), "--cluster", self._ring]
        command += ["--listen", self.endpoints[replica], "--data", str(self._work / f"replica-{replica}")]
        with (self._work / f"replica-{replica}.log").open("a") as log:
            self._processes[replica] = subprocess.Popen(
                command,
                env={"FTQUEUE_CLUSTER_KEY": self._key},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, replica: int) -> None:
        """As by kill -9."""
        process = self._processes.pop(replica)
        process.kill()
        process.wait()

    def wait_for(self, replica: int) -> None:
        """Until it serves."""
        deadline = time.monotonic() + START_SECONDS
        while not serves(self.endpoints[replica]):
            if self._processes[replica].poll() is not None or time.monotonic() > deadline:
                log = (self._work / f"replica-{replica}.log").read_text()
                raise RuntimeError(f"replica {replica} does not serve:\n{log[-4000:]}")
            time.sleep(0.05)
