"""A Python client generated from proto/, each call at another replica than the last"""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import grpc
from ftqueue.v1 import ftqueue_pb2 as pb
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from checks import Checks
from cluster import Cluster
from replicas import RPCS, Refused, Replicas

LARGEST = 2**63 - 1
SMALLEST = -(2**63)


def run(checks: Checks, cluster: Cluster) -> None:
    replicas = Replicas(cluster.endpoints)
    # Four turns of a scenario of many calls bring each rpc to each replica.
    for label in (SMALLEST, -1, 0, LARGEST):
        one_queue(checks, replicas, label)
    unknown_queues(checks, replicas)
    invalid_requests(checks, replicas)
    one_order(checks, replicas)
    everybody_answered(checks, replicas)

    once(checks, replicas)
    many_callers(checks, replicas)
    for replica in range(len(replicas.channels)):
        deadline(checks, replicas, replica)
        health(checks, replicas.channels[replica])
        reflection_v1(checks, replicas.channels[replica])


def one_queue(checks: Checks, replicas: Replicas, label: int) -> None:
    call = replicas.call
    checks.equal("id of an unused label", call("QId", label=label).queue_id, -1)
    queue = call("QCreate", label=label).queue_id
    checks.true("a queue's id is positive", queue > 0, queue)
    checks.equal("create again", call("QCreate", label=label).queue_id, queue)
    checks.equal("id of the label", call("QId", label=label).queue_id, queue)
    empty(checks, replicas, queue)

    items = [0, -1, LARGEST, SMALLEST, 5]
    for number, item in enumerate(items, start=1):
        name = pb.RequestName(client=f"pushes to {label}", number=number)
        pushed = call("QPush", queue_id=queue, item=item, request=name)
        checks.equal("duplicate, of a name used once", pushed.duplicate, False)
    for left in range(len(items), 0, -1):
        item = items[-left]
        checks.equal("size", call("QSize", queue_id=queue).size, left)
        for rpc in ("QTop", "QPop"):
            answer = call(rpc, queue_id=queue)
            seen = (answer.HasField("item"), answer.item, answer.empty)
            checks.equal(f"{rpc} of {item}", seen, (True, item, False))
    empty(checks, replicas, queue)

    call("QDestroy", queue_id=queue)
    checks.equal("id of the destroyed queue's label", call("QId", label=label).queue_id, -1)
    again = call("QCreate", label=label).queue_id
    checks.true("ids are not used again", again > queue, (queue, again))
    call("QDestroy", queue_id=again)


def empty(checks: Checks, replicas: Replicas, queue: int) -> None:
    size = replicas.call("QSize", queue_id=queue)
    checks.equal("size of an empty queue", (size.HasField("size"), size.size), (True, 0))
    for rpc in ("QTop", "QPop"):
        answer = replicas.call(rpc, queue_id=queue)
        seen = (answer.HasField("item"), answer.empty)
        checks.equal(f"{rpc} of an empty queue", seen, (False, True))


def unknown_queues(checks: Checks, replicas: Replicas) -> None:
    for rpc in ("QDestroy", "QPush", "QPop", "QTop", "QSize"):
        for _ in replicas.channels:
            refused = replicas.refused(rpc, queue_id=LARGEST)
            info = refused.info
            seen = (refused.code, info.reason, info.domain, info.metadata["queue_id"])
            expected = (grpc.StatusCode.NOT_FOUND, "QUEUE_NOT_FOUND", "ftqueue.v1", str(LARGEST))
            checks.equal(f"{rpc} of an unknown queue", seen, expected)
            checks.true("it has its place in the order", "sequence" in info.metadata, info)


def invalid_requests(checks: Checks, replicas: Replicas) -> None:
    """Nothing of these is executed, so none of them has a place in the order."""
    not_positive = [(rpc, {"queue_id": queue}) for rpc in RPCS[1:] if rpc != "QId" for queue in (0, -1, SMALLEST)]
    for rpc, fields in not_positive:
        invalid(checks, replicas, rpc, fields, "QUEUE_ID_NOT_POSITIVE", ["queue_id"])

    names = [
        (pb.RequestName(client="", number=1), ["request.client"]),
        (pb.RequestName(client="é" * 33, number=1), ["request.client"]),
        (pb.RequestName(client="a", number=0), ["request.number"]),
        (pb.RequestName(), ["request.client", "request.number"]),
    ]
    for name, bad in names:
        for rpc in ("QCreate", "QDestroy", "QPush", "QPop"):
            fields = {"request": name} | ({} if rpc == "QCreate" else {"queue_id": 1})
            invalid(checks, replicas, rpc, fields, "REQUEST_NAME_INVALID", bad)


def invalid(
    checks: Checks, replicas: Replicas, rpc: str, fields: dict[str, object], reason: str, bad: list[str]
) -> None:
    refused = replicas.refused(rpc, **fields)
    seen = (refused.code, refused.info.reason, refused.fields, dict(refused.info.metadata))
    expected = (grpc.StatusCode.INVALID_ARGUMENT, reason, bad, {"outcome": "not_executed"})
    checks.equal(f"{rpc} {fields}", seen, expected)


def one_order(checks: Checks, replicas: Replicas) -> None:
    """One caller, who called one after the other and alone: its operations follow each other without a gap."""
    sequences = replicas.sequences
    breaks = [(one, next_one) for one, next_one in pairwise(sequences) if next_one != one + 1]
    checks.true("positions in the order are positive", sequences[0] > 0, sequences[0])
    checks.equal("positions that do not follow each other", breaks, [])


def everybody_answered(checks: Checks, replicas: Replicas) -> None:
    for rpc in RPCS:
        for replica in range(len(replicas.channels)):
            checks.true(f"replica {replica} answered {rpc}", (rpc, replica) in replicas.answered)


def once(checks: Checks, replicas: Replicas) -> None:
    """A named request that is asked again at each replica counts once."""
    queue = replicas.call("QCreate", label=78).queue_id
    name = pb.RequestName(client="asks again", number=1)
    first = replicas.call_at(0, "QPush", queue_id=queue, item=1, request=name)
    checks.equal("duplicate, of the first try", first.duplicate, False)
    for replica in range(len(replicas.channels)):
        again = replicas.call_at(replica, "QPush", queue_id=queue, item=1, request=name)
        seen = (again.duplicate, again.sequence)
        checks.equal(f"a further try at replica {replica}", seen, (True, first.sequence))
    checks.equal("size after all tries", replicas.call("QSize", queue_id=queue).size, 1)

    refused = replicas.refused("QPush", queue_id=queue, item=2, request=name)
    seen = (refused.code, refused.info.reason)
    checks.equal("another item by the same name", seen, (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_REUSED"))
    stranger = pb.RequestName(client="did not begin", number=2)
    refused = replicas.refused("QPush", queue_id=queue, item=2, request=stranger)
    seen = (refused.code, refused.info.reason, refused.info.metadata["outcome"])
    expected = (grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_FORGOTTEN", "unknown")
    checks.equal("number 2 of one that did not begin", seen, expected)


def many_callers(checks: Checks, replicas: Replicas) -> None:
    """Producers at all replicas at once; what they pushed comes out once each, and in each one's order."""
    queue = replicas.call("QCreate", label=77).queue_id
    each = 50
    batches = [list(range(replica * each, (replica + 1) * each)) for replica in range(len(replicas.channels))]
    with ThreadPoolExecutor(len(batches)) as pool:
        pushing = [pool.submit(replicas.push_all, replica, queue, items) for replica, items in enumerate(batches)]
        for pushed in pushing:
            pushed.result()
    answers = [replicas.call("QPop", queue_id=queue) for _ in range(each * len(batches))]
    popped = [answer.item for answer in answers if answer.HasField("item")]
    for items in batches:
        checks.equal("a producer's items, in order", [item for item in popped if item in items], items)
    checks.equal("the queue is empty then", replicas.call("QPop", queue_id=queue).empty, True)


def deadline(checks: Checks, replicas: Replicas, replica: int) -> None:
    """Calls with no time left, by a header of the test's own: the client does not know of it and gives up nothing by
    itself, so what comes back is the service's answer. It may be quick enough all the same, but not each time."""
    queue = replicas.call("QCreate", label=78).queue_id
    size = replicas.call("QSize", queue_id=queue).size
    outcomes = []
    for _ in range(5):
        try:
            replicas.call_at(replica, "QPush", metadata=(("grpc-timeout", "0n"),), queue_id=queue, item=1)
            outcomes.append("executed")
        except Refused as refused:
            outcomes.append(refused.info.metadata["outcome"])
            seen = (refused.code, refused.info.reason, refused.info.domain)
            expected = (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "ftqueue.v1")
            checks.equal("a call with no time left", seen, expected)
            checks.true("it says what was waited for", refused.info.metadata["waiting_for"] != "", refused.info)
    checks.true(f"replica {replica} keeps deadlines", set(outcomes) != {"executed"}, outcomes)
    checks.true("outcomes are told", set(outcomes) <= {"executed", "not_executed", "unknown"}, outcomes)
    # An operation whose outcome is unknown may be executed later still, so nothing more can be said.
    pushed = replicas.call("QSize", queue_id=queue).size - size
    least = outcomes.count("executed")
    most = least + outcomes.count("unknown")
    checks.true("the outcomes are true", least <= pushed <= most, (outcomes, pushed))


def health(checks: Checks, channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "ftqueue.v1.FTQueue"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        checks.equal(f"health of {service!r}", answer.status, health_pb2.HealthCheckResponse.SERVING)
    try:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5)
        checks.true("the health of an unknown service is NOT_FOUND", False, "it was answered")
    except grpc.RpcError as error:
        checks.equal("the health of an unknown service", error.code(), grpc.StatusCode.NOT_FOUND)


def reflection_v1(checks: Checks, channel: grpc.Channel) -> None:
    """grpcurl here asks v1alpha; this asks v1, whose messages are the same on the wire."""
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    for symbol in ("ftqueue.v1.FTQueue", "google.rpc.ErrorInfo"):
        request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        answer = next(ask(iter([request]), timeout=5))
        files = len(answer.file_descriptor_response.file_descriptor_proto)
        checks.true(f"reflection v1 knows {symbol}", files > 0, answer)
