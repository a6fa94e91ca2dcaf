"""A dev cluster of three replicas on free ports of this machine, by `ftqueue cluster`."""

import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

REPLICAS = 3
START_SECONDS = 30
STOP_SECONDS = 20


class Cluster:
    """Started by `with`, and stopped at its end whatever happened."""

    def __init__(self, binary: str, work: Path) -> None:
        base = free_base_port()
        self.endpoints = [f"127.0.0.1:{base + 1 + replica}" for replica in range(REPLICAS)]
        self.output = work / "cluster.log"
        data = work / "data"
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(parents=True)
        self._command = [binary, "cluster", "--replicas", str(REPLICAS)]
        self._command += ["--base-port", str(base), "--data", str(data)]

    def __enter__(self) -> "Cluster":
        with self.output.open("w") as output:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            self._wait_until_serving()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            try:
                self.interrupt()
            except subprocess.TimeoutExpired:
                # Its replicas notice that it is gone and end, too.
                self._process.kill()
                self._process.wait()

    def interrupt(self) -> int:
        """Does what Ctrl-C does and gives the exit code."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(STOP_SECONDS)

    def listening(self) -> list[str]:
        """The endpoints that take connections."""
        return [endpoint for endpoint in self.endpoints if takes_connections(endpoint)]

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        # The lines to paste come last.
        while not all(map(serves, self.endpoints)) or "grpcurl" not in self.output.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the cluster did not start:\n{self.output.read_text()}")
            time.sleep(0.05)


def serves(endpoint: str) -> bool:
    """Whether the replica there says that it can answer calls."""
    with grpc.insecure_channel(endpoint) as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=2)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def takes_connections(endpoint: str) -> bool:
    host, port = endpoint.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


def free_base_port() -> int:
    """A base port whose cluster's ports are all free now, below those that the system hands out by itself."""
    for _ in range(100):
        base = random.randrange(20_000, 32_000)
        if all(is_free(base + 1 + replica) and is_free(base + 101 + replica) for replica in range(REPLICAS)):
            return base
    raise RuntimeError("no free ports")


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
