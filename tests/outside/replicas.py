"""The replicas as a generated client sees them."""

import itertools
from typing import Any

import grpc
from ftqueue.v1 import ftqueue_pb2 as pb
from ftqueue.v1 import ftqueue_pb2_grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

CALL_SECONDS = 10
RPCS = ["QCreate", "QDestroy", "QId", "QPush", "QPop", "QTop", "QSize"]


class Refused(Exception):
    """An error of the service, with its details decoded."""

    def __init__(self, error: grpc.RpcError) -> None:
        super().__init__(error)
        self.code = error.code()
        self.message = error.details()
        self.info = error_details_pb2.ErrorInfo()
        self.fields: list[str] = []
        status = rpc_status.from_call(error)
        for detail in status.details if status else []:
            detail.Unpack(self.info)
            bad_request = error_details_pb2.BadRequest()
            if detail.Unpack(bad_request):
                self.fields = [violation.field for violation in bad_request.field_violations]


class Replicas:
    """Calls each time another replica than the last, and remembers what it was told."""

    def __init__(self, endpoints: list[str]) -> None:
        self.channels = [grpc.insecure_channel(endpoint) for endpoint in endpoints]
        self._stubs = [ftqueue_pb2_grpc.FTQueueStub(channel) for channel in self.channels]
        self._turns = itertools.cycle(range(len(endpoints)))
        # In the order of the calls: where operations stood in the order of all operations.
        self.sequences: list[int] = []
        # Which replica answered which rpc.
        self.answered: set[tuple[str, int]] = set()

    def call(self, rpc: str, **fields: Any) -> Any:
        """Calls the replica whose turn it is."""
        return self.call_at(next(self._turns), rpc, **fields)

    def call_at(self, replica: int, rpc: str, metadata: Any = None, **fields: Any) -> Any:
        """Calls one replica; raises Refused."""
        request = getattr(pb, f"{rpc}Request")(**fields)
        # A deadline of the test's own would take the place of the one that is tested.
        timeout = None if metadata else CALL_SECONDS
        try:
            answer = getattr(self._stubs[replica], rpc)(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            refused = Refused(error)
            if "sequence" in refused.info.metadata:
                self.sequences.append(int(refused.info.metadata["sequence"]))
            raise refused from error
        self.sequences.append(answer.sequence)
        self.answered.add((rpc, replica))
        return answer

    def push_all(self, replica: int, queue: int, items: list[int]) -> None:
        """Pushes one after the other at one replica; apart from the turns, so it may run beside others."""
        for item in items:
            self._stubs[replica].QPush(pb.QPushRequest(queue_id=queue, item=item), timeout=CALL_SECONDS)

    def refused(self, rpc: str, **fields: Any) -> Refused:
        """A call that must be refused; gives the refusal."""
        try:
            answer = self.call(rpc, **fields)
        except Refused as refused:
            return refused
        raise AssertionError(f"{rpc} {fields} was answered: {answer}")
