"""Named requests through gRPC's own retries, while replicas refuse, die and come back"""

import subprocess
import sys
import threading
from concurrent import futures
from pathlib import Path

import grpc
from ftqueue.v1 import ftqueue_pb2 as pb

from checks import Checks
from serving import Serving

sys.path.append(str(Path(__file__).resolve().parents[2] / "examples" / "python"))
import once  # noqa: E402 (an example, beside the tests)
from once import Once  # noqa: E402


def run(checks: Checks, binary: str, work: Path) -> None:
    with Serving(binary, work) as replicas:
        the_example_runs(checks, replicas)
        with Refusing() as refusing:
            through_one_that_refuses(checks, replicas, refusing)
        through_kills(checks, replicas)


def the_example_runs(checks: Checks, replicas: Serving) -> None:
    command = [sys.executable, once.__file__, *replicas.endpoints]
    example = subprocess.run(command, capture_output=True, text=True, timeout=60)
    checks.equal("what the example prints", (example.returncode, example.stdout), (0, "42\n"))


class Refusing:
    """Listens as a replica does, and refuses each call as one in no view does; executes nothing."""

    def __init__(self) -> None:
        # (client, number) of each call that came.
        self.came: list[tuple[str, int]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        refuse = grpc.unary_unary_rpc_method_handler(
            self._refuse, pb.QPushRequest.FromString, pb.QPushResponse.SerializeToString
        )
        handlers = grpc.method_handlers_generic_handler("ftqueue.v1.FTQueue", {"QPush": refuse})
        self._server.add_generic_rpc_handlers((handlers,))
        self.endpoint = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> "Refusing":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _refuse(self, request: pb.QPushRequest, context: grpc.ServicerContext) -> None:
        self.came.append((request.request.client, request.request.number))
        context.abort(grpc.StatusCode.UNAVAILABLE, "in no view")


def through_one_that_refuses(checks: Checks, replicas: Serving, refusing: Refusing) -> None:
    """Nothing of what it refused was executed, so this holds even where names are not remembered."""
    queue = Once(replicas.endpoints).create(1).queue_id
    pusher = Once([refusing.endpoint, *replicas.endpoints])
    items = list(range(40))
    # gRPC alone retries here: what it gives up is an error.
    answers = [
        pusher.stub.QPush(
            pb.QPushRequest(
                queue_id=queue, item=item, request=pb.RequestName(client=pusher.client, number=item + 1)
            )
        )
        for item in items
    ]
    pusher.channel.close()
    checks.true("the one that refuses was called", len(refusing.came) > 0, refusing.came)
    names = {(pusher.client, item + 1) for item in items}
    checks.true("it was called by the requests' names", set(refusing.came) <= names, refusing.came)
    checks.equal("duplicates", [answer.sequence for answer in answers if answer.duplicate], [])
    checks.equal("what was pushed", pop_all(replicas, queue), items)


def through_kills(checks: Checks, replicas: Serving) -> None:
    """Each replica is killed and started again under a load; nothing is lost, and nothing doubled."""
    caller = Once(replicas.endpoints)
    queue = caller.create(2).queue_id
    pushed: list[int] = []
    failed: list[grpc.RpcError] = []
    done = threading.Event()

    def push() -> None:
        while not done.is_set():
            try:
                caller.push(queue, len(pushed))
            except grpc.RpcError as error:
                failed.append(error)
                return
            pushed.append(len(pushed))

    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        for replica in range(len(replicas.endpoints)):
            wait_for_more(pushed, failed, done)
            replicas.kill(replica)
            wait_for_more(pushed, failed, done)
            replicas.start(replica)
            replicas.wait_for(replica)
        wait_for_more(pushed, failed, done)
    finally:
        done.set()
        pusher.join()
    checks.equal("pushes that failed", failed, [])
    popped = pop_all(replicas, queue)
    checks.equal("pushed and lost", sorted(set(pushed) - set(popped)), [])
    checks.equal("in order", list(dict.fromkeys(popped)), pushed)
    doubled = sorted(item for item in set(popped) if popped.count(item) > 1)
    checks.equal("doubled", doubled, [])


def wait_for_more(pushed: list[int], failed: list[grpc.RpcError], done: threading.Event) -> None:
    """Until some more pushes were answered, however long that takes within a call's patience."""
    enough = len(pushed) + 20
    for _ in range(6_000):
        if len(pushed) >= enough or failed:
            return
        done.wait(0.01)
    raise AssertionError(f"no more than {len(pushed)} pushes were answered")


def pop_all(replicas: Serving, queue: int) -> list[int]:
    caller = Once(replicas.endpoints)
    popped = []
    while not (answer := caller.pop(queue)).empty:
        popped.append(answer.item)
    return popped
