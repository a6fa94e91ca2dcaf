"""grpcurl, with nothing but reflection to go by"""

import json
import re
import subprocess

from checks import Checks
from cluster import Cluster

SERVICE = "ftqueue.v1.FTQueue"
RPCS = ["QCreate", "QDestroy", "QId", "QPop", "QPush", "QSize", "QTop"]


def run(checks: Checks, cluster: Cluster) -> None:
    reflection(checks, cluster.endpoints)
    health(checks, cluster.endpoints)
    one_queue(checks, cluster.endpoints)
    errors_in_clear(checks, cluster.endpoints)


def reflection(checks: Checks, endpoints: list[str]) -> None:
    for endpoint in endpoints:
        services = grpcurl(endpoint, "list").stdout.split()
        for service in (SERVICE, "grpc.health.v1.Health"):
            checks.true(f"{endpoint} lists {service}", service in services, services)
        rpcs = grpcurl(endpoint, "list", SERVICE).stdout.split()
        checks.equal(f"rpcs at {endpoint}", sorted(rpcs), [f"{SERVICE}.{rpc}" for rpc in RPCS])
        described = grpcurl(endpoint, "describe", "ftqueue.v1.QPushRequest").stdout
        checks.true(f"{endpoint} describes a request", "int64 item = 2" in described, described)


def health(checks: Checks, endpoints: list[str]) -> None:
    for endpoint in endpoints:
        for service in ("", SERVICE):
            request = json.dumps({"service": service})
            answer = grpcurl(endpoint, "grpc.health.v1.Health/Check", data=request)
            said = json.loads(answer.stdout or "{}")
            checks.equal(f"health of {service!r} at {endpoint}", said, {"status": "SERVING"})


def one_queue(checks: Checks, endpoints: list[str]) -> None:
    """One queue in the hands of all three replicas; JSON has 64-bit integers as strings."""
    first, second, third = endpoints
    queue = answer(checks, first, "QCreate", label=11).get("queue_id", "0")
    checks.true("the new queue's id is positive", int(queue) > 0, queue)

    def value(endpoint: str, rpc: str, **fields: object) -> dict[str, object]:
        said = answer(checks, endpoint, rpc, **fields)
        checks.true(f"{rpc} at {endpoint} has a sequence", int(said.pop("sequence", 0)) > 0, said)
        return said

    largest, smallest = 2**63 - 1, -(2**63)
    steps = [
        (second, "QId", {"label": 11}, {"queue_id": queue}),
        (third, "QCreate", {"label": 11}, {"queue_id": queue}),
        (second, "QPush", {"queue_id": queue, "item": 0}, {}),
        (third, "QPush", {"queue_id": queue, "item": str(smallest)}, {}),
        (first, "QPush", {"queue_id": queue, "item": str(largest)}, {}),
        (second, "QSize", {"queue_id": queue}, {"size": "3"}),
        (third, "QTop", {"queue_id": queue}, {"item": "0"}),
        (first, "QPop", {"queue_id": queue}, {"item": "0"}),
        (second, "QPop", {"queue_id": queue}, {"item": str(smallest)}),
        (third, "QPop", {"queue_id": queue}, {"item": str(largest)}),
        (first, "QPop", {"queue_id": queue}, {"empty": True}),
        (second, "QTop", {"queue_id": queue}, {"empty": True}),
        (third, "QSize", {"queue_id": queue}, {"size": "0"}),
        (first, "QDestroy", {"queue_id": queue}, {}),
        (second, "QId", {"label": 11}, {"queue_id": "-1"}),
    ]
    for endpoint, rpc, fields, expected in steps:
        checks.equal(f"{rpc} {fields} at {endpoint}", value(endpoint, rpc, **fields), expected)


def errors_in_clear(checks: Checks, endpoints: list[str]) -> None:
    """Details that grpcurl cannot decode it shows as `@value`, in base64."""
    nowhere = str(2**63 - 1)
    cases = [
        ({"queue_id": nowhere, "item": 1}, "Code: NotFound", "QUEUE_NOT_FOUND", '"sequence"'),
        ({"queue_id": -1, "item": 1}, "Code: InvalidArgument", "QUEUE_ID_NOT_POSITIVE", '"queue_id"'),
    ]
    for endpoint in endpoints:
        for fields, code, reason, detail in cases:
            call = grpcurl(endpoint, f"{SERVICE}/QPush", data=json.dumps(fields))
            checks.true(f"{reason} at {endpoint} fails the call", call.returncode != 0, call.stdout)
            for expected in (code, f'"{reason}"', detail, "google.rpc.ErrorInfo"):
                checks.true(f"{expected} is shown at {endpoint}", expected in call.stderr, call.stderr)
            checks.true(f"all is in clear at {endpoint}", "@value" not in call.stderr, call.stderr)


def answer(checks: Checks, endpoint: str, rpc: str, **fields: object) -> dict[str, str]:
    """A call that must succeed; gives its answer."""
    call = grpcurl(endpoint, f"{SERVICE}/{rpc}", data=json.dumps(fields))
    checks.true(f"{rpc} {fields} at {endpoint} succeeds", call.returncode == 0, call.stderr)
    # Field names come in camel or in snake case: it depends on the compiler that made the descriptors.
    return {snake_case(name): value for name, value in json.loads(call.stdout or "{}").items()}


def snake_case(name: str) -> str:
    return re.sub("[A-Z]", lambda capital: "_" + capital[0].lower(), name)


def grpcurl(endpoint: str, *what: str, data: str | None = None) -> subprocess.CompletedProcess[str]:
    command = ["grpcurl", "-plaintext", "-max-time", "10"]
    if data is not None:
        command += ["-d", data]
    return subprocess.run([*command, endpoint, *what], capture_output=True, text=True, timeout=30)
