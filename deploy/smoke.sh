#!/usr/bin/env bash
# Builds the image, starts deploy/docker-compose.yml as a project of its own on free ports, uses one queue
# through all three replicas and removes everything again. Prints each check, then `N passed, N failed`.
#
#   deploy/smoke.sh
#   FTQUEUE_BINARY=FILE deploy/smoke.sh      with a static binary that is there already
#
# Exit codes: 0 all passed, or no Docker engine answers (says SKIPPED); 1 a check failed; 2 it did not start.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export FTQUEUE_IMAGE=ftqueue-smoke:$$
# A key of this run's own.
FTQUEUE_CLUSTER_KEY=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
export FTQUEUE_CLUSTER_KEY
# Port 0: the engine chooses.
export FTQUEUE_PORT_0=0 FTQUEUE_PORT_1=0 FTQUEUE_PORT_2=0
export FTQUEUE_BINARY=${FTQUEUE_BINARY:-}
health_seconds=60
passed=0
failed=0

main() {
    if ! timeout 20 docker info >/dev/null 2>&1; then
        echo "SKIPPED: no Docker engine answers"
        exit 0
    fi
    choose_compose
    trap clean_up EXIT
    trap 'exit 130' INT TERM

    "$here/build-image.sh" "$FTQUEUE_IMAGE"
    compose up -d
    wait_until_healthy
    endpoints=("$(endpoint 0)" "$(endpoint 1)" "$(endpoint 2)")
    echo "replicas at ${endpoints[*]}"

    use_one_queue
    look_at_containers
    lose_each_in_turn

    echo "$passed passed, $failed failed"
    [ "$failed" = 0 ]
}

# One queue, each call at another replica than the one before.
use_one_queue() {
    local queue
    queue=$(call 0 create 7) || true
    echo "create 7 at replica 0 gave queue '$queue'"
    check "create answers a positive id" test "${queue:-0}" -gt 0
    [ "$failed" = 0 ] || return 0

    check_answer "id at replica 1" "$queue" 1 id 7
    check_answer "create again at replica 2" "$queue" 2 create 7
    check_answer "push at replica 0" ok 0 push "$queue" 41
    check_answer "push at replica 1" ok 1 push "$queue" 42
    check_answer "push at replica 2" ok 2 push "$queue" 43
    check_answer "size at replica 0" 3 0 size "$queue"
    check_answer "top at replica 1" 41 1 top "$queue"
    check_answer "pop at replica 2" 41 2 pop "$queue"
    check_answer "pop at replica 0" 42 0 pop "$queue"
    check_answer "pop at replica 1" 43 1 pop "$queue"
    check_answer "pop of an empty queue at replica 2" "(empty)" 2 pop "$queue"
    check_answer "destroy at replica 0" ok 0 destroy "$queue"
    check_answer "id of the destroyed at replica 1" -1 1 id 7
    check "size of the destroyed at replica 2 says that it is not there" not_found 2 size "$queue"
}

look_at_containers() {
    local id ports
    for id in 0 1 2; do
        ports=$(docker port "$(container "$id")")
        check "replica $id publishes gRPC only: $(tr '\n' ' ' <<<"$ports")" \
            test "$(cut -d' ' -f1 <<<"$ports" | sort -u)" = 7000/tcp
        check "replica $id does not run as root" \
            test "$(docker inspect -f '{{.Config.User}}' "$(container "$id")")" = 65532:65532
        check "replica $id has the key that the caller set" \
            grep -q "FTQUEUE_CLUSTER_KEY=$FTQUEUE_CLUSTER_KEY" <(docker inspect "$(container "$id")")
        check "replica $id was not restarted" \
            test "$(docker inspect -f '{{.RestartCount}}' "$(container "$id")")" = 0
    done
}

# A load with a history goes on at all replicas while one is killed, the next one paused and the third one cut off; each
# comes back by itself. Nothing that was answered may be lost, doubled or out of order.
lose_each_in_turn() {
    local history bench network id
    history=$(mktemp)
    network="ftqueue-smoke-$$_ring"
    "$client" bench --endpoints "$(IFS=,; echo "${endpoints[*]}")" --clients 12 --duration 60s \
        --warmup 0s --timeout 5s --drain --history "$history" >/dev/null 2>&1 &
    bench=$!

    docker kill "$(container 1)" >/dev/null
    check "replica 0 and the load go on while replica 1 is killed" goes_on 0 "$history"
    docker start "$(container 1)" >/dev/null
    # The engine may have chosen another port for it.
    endpoints[1]=$(endpoint 1)
    check "replica 1 and the load go on again" goes_on 1 "$history"

    docker pause "$(container 2)" >/dev/null
    check "replica 1 and the load go on while replica 2 is paused" goes_on 1 "$history"
    docker unpause "$(container 2)" >/dev/null
    check "replica 2 and the load go on again" goes_on 2 "$history"

    docker network disconnect "$network" "$(container 0)"
    check "replica 2 and the load go on while replica 0 is cut off" goes_on 2 "$history"
    docker network connect --alias replica-0 "$network" "$(container 0)"
    endpoints[0]=$(endpoint 0)
    check "replica 0 and the load go on again" goes_on 0 "$history"

    kill -INT "$bench"
    check "the load ends" wait "$bench"
    check "its history is that of a correct service" "$client" check-history "$history"
    rm -f "$history"
    for id in 0 1 2; do
        check_answer "id of the destroyed at replica $id" -1 "$id" id 7
    done
}

# Whether a replica is ready and the load gets many more answers, within half a minute. No call is made here: it would
# be missing in the history.
goes_on() {
    local id=$1 history=$2 deadline=$((SECONDS + 30)) answered
    answered=$(grep -c '"sequence":' "$history")
    until "$client" health --endpoint "${endpoints[$id]}" >/dev/null 2>&1 &&
        [ "$(grep -c '"sequence":' "$history")" -ge $((answered + 200)) ]; do
        if [ "$SECONDS" -ge "$deadline" ]; then return 1; fi
        sleep 0.2
    done
}

choose_compose() {
    if docker compose version >/dev/null 2>&1; then
        compose_command=(docker compose)
    elif command -v docker-compose >/dev/null; then
        compose_command=(docker-compose)
    else
        echo "neither 'docker compose' nor 'docker-compose' is there" >&2
        exit 2
    fi
}

compose() {
    "${compose_command[@]}" -p "ftqueue-smoke-$$" -f "$here/docker-compose.yml" "$@"
}

container() {
    compose ps -q "replica-$1"
}

endpoint() {
    compose port "replica-$1" 7000
}

# Polls the engine's own verdict of the image's health check, for a bounded time.
wait_until_healthy() {
    local deadline=$((SECONDS + health_seconds)) id healthy
    while :; do
        healthy=0
        for id in 0 1 2; do
            if [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$id")")" = healthy ]; then
                healthy=$((healthy + 1))
            fi
        done
        [ "$healthy" = 3 ] && return
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "$healthy of 3 replicas are healthy after $health_seconds s" >&2
            for id in 0 1 2; do
                docker inspect -f '{{.Name}} {{json .State}}' "$(container "$id")" >&2
            done
            compose logs --no-color --tail 40 >&2
            exit 2
        fi
        sleep 0.5
    done
}

# call ID COMMAND ARGUMENT…: one call at one replica, through its published port. The same binary that
# is in the image is the client.
call() {
    local id=$1
    shift
    timeout 20 "$client" "$@" --endpoints "${endpoints[$id]}"
}

# The call must fail, and say that it is the queue that is not there.
not_found() {
    local said
    if said=$(call "$@" 2>&1); then
        return 1
    fi
    grep -q QUEUE_NOT_FOUND <<<"$said"
}

# check_answer WHAT EXPECTED ID COMMAND ARGUMENT…
check_answer() {
    local what=$1 expected=$2 got
    shift 2
    got=$(call "$@") || true
    check "$what answers $expected (got '$got')" test "$got" = "$expected"
}

# check WHAT COMMAND…: counts one check.
check() {
    local what=$1
    shift
    if "$@" >/dev/null; then
        passed=$((passed + 1))
        echo "  ok      $what"
    else
        failed=$((failed + 1))
        echo "  FAILED  $what"
    fi
}

clean_up() {
    local code=$?
    trap - EXIT
    [ "$failed" = 0 ] || compose logs --no-color --tail 40 >&2 || true
    compose down -v --timeout 5 --remove-orphans >/dev/null 2>&1 || true
    docker image rm "$FTQUEUE_IMAGE" >/dev/null 2>&1 || true
    exit "$code"
}

client=${FTQUEUE_BINARY:-${CARGO_TARGET_DIR:-$here/../target}/x86_64-unknown-linux-gnu/release/ftqueue}
main
