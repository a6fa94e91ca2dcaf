"""A caller whose requests count once, through replicas that come and go.

    python examples/python/once.py 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003

needs grpcio, and the modules that the README generates from proto/ (in PYTHONPATH). gRPC itself retries what
deploy/grpc-service-config.json says; what is still open then is called again here, by the same name.
"""

import sys
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
from ftqueue.v1 import ftqueue_pb2 as pb
from ftqueue.v1 import ftqueue_pb2_grpc

SERVICE_CONFIG = Path(__file__).resolve().parents[2] / "deploy" / "grpc-service-config.json"

# What another try may settle. REQUEST_FORGOTTEN has another code, and nothing settles it.
OPEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Once:
    """One call at a time: the first is answered before there is a second, as the replicas want it of a new name."""

    def __init__(self, endpoints: list[str]) -> None:
        # All replicas behind one channel: a retry goes to another one.
        target = "ipv4:" + ",".join(endpoints)
        options = [
            ("grpc.service_config", SERVICE_CONFIG.read_text()),
            # By default it is the whole list, which is no authority, and refused as such.
            ("grpc.default_authority", "ftqueue"),
        ]
        self.channel = grpc.insecure_channel(target, options=options)
        self.stub = ftqueue_pb2_grpc.FTQueueStub(self.channel)
        self.client = uuid.uuid4().hex
        self.number = 0

    def create(self, label: int, patience: float = 60) -> Any:
        return self._call(self.stub.QCreate, pb.QCreateRequest(label=label), patience)

    def push(self, queue: int, item: int, patience: float = 60) -> Any:
        return self._call(self.stub.QPush, pb.QPushRequest(queue_id=queue, item=item), patience)

    def pop(self, queue: int, patience: float = 60) -> Any:
        return self._call(self.stub.QPop, pb.QPopRequest(queue_id=queue), patience)

    def _call(self, rpc: Any, request: Any, patience: float) -> Any:
        """Calls until there is an answer, or a refusal that stands, or `patience` seconds are over."""
        self.number += 1
        # A number of its own for each request, and the same for each try of it.
        request.request.CopyFrom(pb.RequestName(client=self.client, number=self.number))
        deadline = time.monotonic() + patience
        pause = 0.05
        while True:
            try:
                return rpc(request)
            except grpc.RpcError as error:
                if error.code() not in OPEN or time.monotonic() + pause > deadline:
                    raise
            time.sleep(pause)
            pause = min(2 * pause, 1)


def main(endpoints: list[str]) -> None:
    caller = Once(endpoints)
    queue = caller.create(7).queue_id
    caller.push(queue, 42)
    popped = caller.pop(queue)
    print("empty" if popped.empty else popped.item)


if __name__ == "__main__":
    main(sys.argv[1:])
