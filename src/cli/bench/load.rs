//! A closed-loop load: so many clients, each of which calls, waits for the answer, and calls again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, sleep};

use super::caller::Caller;
use super::drain::Drain;
use super::history::Recorder;
use super::interrupt::Interrupt;
use super::measure::{Measurements, Summary};
use super::mix::{Mix, Random};
use super::plan::Load;
use super::progress::Progress;
use super::setup::Setup;
use crate::client::{Connection, Failure};
use crate::queue::QueueId;

/// What came of a load.
pub(super) struct Loaded {
    /// The figures.
    pub summary: Summary,
    /// Whether a person ended it early.
    pub interrupted: bool,
    /// Whether every call that was begun was waited for.
    pub complete: bool,
    /// Whether the queues were popped empty, if they were to be.
    pub drained: bool,
}

/// Puts a load on the endpoints.
///
/// # Errors
/// When the queues to work on could not be made.
pub(super) async fn run(
    load: &Load,
    recorder: Option<Recorder>,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Result<Loaded, Failure> {
    let mut setup = Setup::new(load, recorder.clone())?;
    let clients = clients(load, recorder)?;
    let queues = tokio::select! {
        queues = setup.make_queues() => queues?,
        () = interrupt.wait() => return Ok(Loaded::nothing()),
    };
    let shared = Rc::new(Shared::new(load.mix, queues));
    let mut loaded =
        LocalSet::new().run_until(conduct(load, clients, &shared, progress, interrupt)).await;
    if loaded.complete {
        loaded.complete = tokio::select! {
            () = setup.destroy_queues(&shared.queues) => true,
            () = interrupt.wait() => false,
        };
    }
    Ok(loaded)
}

impl Loaded {
    /// Interrupted before it began.
    fn nothing() -> Self {
        let summary = Measurements::default().summary(Duration::ZERO);
        Self { summary, interrupted: true, complete: false, drained: true }
    }
}

/// What the clients of a load have in common.
struct Shared {
    mix: Mix,
    queues: Vec<QueueId>,
    measurements: RefCell<Measurements>,
    /// Whether calls that end now count.
    measuring: Cell<bool>,
    /// Whether clients make no further calls.
    stopping: Cell<bool>,
}

impl Shared {
    fn new(mix: Mix, queues: Vec<QueueId>) -> Self {
        Self {
            mix,
            queues,
            measurements: RefCell::default(),
            measuring: Cell::new(false),
            stopping: Cell::new(false),
        }
    }
}

/// Lets the clients call, first unmeasured, then measured, and waits for their last answers.
async fn conduct(
    load: &Load,
    clients: Vec<Client>,
    shared: &Rc<Shared>,
    progress: &Progress,
    interrupt: &mut Interrupt,
) -> Loaded {
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn_local(client.run(shared.clone()));
    }
    let answered = || shared.measurements.borrow().answered();
    let mut interrupted = progress.pass("warming up", load.warmup, || 0, interrupt).await;
    let begin = Instant::now();
    shared.measuring.set(true);
    if !interrupted {
        interrupted = progress.pass("measuring", load.duration, answered, interrupt).await;
    }
    shared.measuring.set(false);
    let measured = begin.elapsed();
    shared.stopping.set(true);
    progress.end();
    // Each client ends after its present call, which has a timeout.
    let ended = async {
        let clients = running.join_all().await;
        if load.drain { drain(clients, &shared.queues).await } else { true }
    };
    let (complete, drained) = tokio::select! {
        drained = ended => (true, drained),
        () = interrupt.wait() => (false, !load.drain),
    };
    let summary = shared.measurements.borrow().summary(measured);
    Loaded { summary, interrupted, complete, drained }
}

/// Lets the clients pop the queues empty; says whether they are.
async fn drain(clients: Vec<Client>, queues: &[QueueId]) -> bool {
    let drain = Rc::new(RefCell::new(Drain::of(queues)));
    let mut running = JoinSet::new();
    for client in clients {
        running.spawn_local(client.drain(drain.clone()));
    }
    running.join_all().await;
    drain.borrow().is_done()
}

/// One client of a load.
struct Client {
    caller: Caller,
    random: Random,
    next_item: i64,
    /// How long it pauses after its next failure.
    pause: Duration,
}

/// The pauses of a client whose calls fail: the first, and the longest of the doubled ones. A client that cannot
/// connect would otherwise do nothing but fail.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(100));

/// How many items a client may push before they are not distinct from another's: more than it can.
const ITEMS_PER_CLIENT: i64 = 1 << 40;

/// Clients by number: round robin over the endpoints, and over the connections of each.
fn clients(load: &Load, recorder: Option<Recorder>) -> Result<Vec<Client>, Failure> {
    let endpoints = load.endpoints.len();
    let mut connections = Vec::new();
    for _ in 0..load.connections_per_endpoint() {
        for endpoint in &load.endpoints {
            connections.push(Connection::open_later(endpoint, load.timeout)?);
        }
    }
    let client = |number: u32| {
        let index = number as usize % connections.len();
        Client {
            caller: Caller {
                number,
                endpoint: index % endpoints,
                connection: connections[index].clone(),
                timeout: load.timeout,
                recorder: recorder.clone(),
            },
            random: Random::new(u64::from(number)),
            next_item: i64::from(number) * ITEMS_PER_CLIENT,
            pause: PAUSE.0,
        }
    };
    Ok((0..load.clients).map(client).collect())
}

impl Client {
    /// Calls until it is told to stop; gives itself back.
    async fn run(mut self, shared: Rc<Shared>) -> Self {
        let queues = u32::try_from(shared.queues.len()).expect("as many as were asked for");
        while !shared.stopping.get() {
            let queue = shared.queues[self.random.below(queues) as usize];
            let action = shared.mix.draw(&mut self.random, queue, self.next_item);
            self.next_item += 1;
            let call = self.caller.call(action).await;
            if shared.measuring.get() {
                shared.measurements.borrow_mut().add(action, call.nanoseconds, &call.result);
            }
            self.pause_after_failures(call.result.is_ok()).await;
        }
        self
    }

    /// Pops until no queue is left.
    async fn drain(mut self, drain: Rc<RefCell<Drain>>) {
        loop {
            let Some((queue, pop)) = drain.borrow_mut().next() else {
                return;
            };
            let call = self.caller.call(pop).await;
            drain.borrow_mut().note(queue, &call.result);
            self.pause_after_failures(call.result.is_ok()).await;
        }
    }

    async fn pause_after_failures(&mut self, answered: bool) {
        if answered {
            self.pause = PAUSE.0;
        } else {
            sleep(self.pause).await;
            self.pause = PAUSE.1.min(self.pause * 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::cli::bench::history::History;
    use crate::client::test_replica::{Behaviour, Nobody, Queues, TestReplica};

    fn load(endpoints: Vec<crate::client::Endpoint>) -> Load {
        Load {
            endpoints,
            clients: 8,
            queues: 3,
            mix: "push=40,pop=40,top=10,size=10".parse().unwrap(),
            warmup: Duration::from_millis(50),
            duration: Duration::from_millis(200),
            timeout: Duration::from_secs(5),
            drain: true,
        }
    }

    async fn run_quietly(load: &Load, recorder: Option<Recorder>) -> Result<Loaded, Failure> {
        run(load, recorder, &Progress::hidden(), &mut Interrupt::never()).await
    }

    #[test]
    fn clients_are_spread_over_endpoints_and_share_few_connections() {
        let endpoints = ["a:1", "b:1", "c:1"].map(|text| text.parse().unwrap()).to_vec();
        let mut load = load(endpoints);
        for (clients, connections) in [(1, 1), (3, 1), (4, 2), (12, 4), (64, 4)] {
            load.clients = clients;
            assert_eq!(load.connections_per_endpoint(), connections, "{clients} clients");
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _guard = runtime.enter();
        load.clients = 64;
        let mut at = [0; 3];
        clients(&load, None).unwrap().iter().for_each(|client| at[client.caller.endpoint] += 1);
        assert_eq!(at, [22, 21, 21]);
    }

    #[tokio::test]
    async fn a_history_has_every_call_once_and_items_are_distinct() {
        let queues = Queues::default();
        let replicas = [
            TestReplica::start(&queues, Behaviour::Serve).await,
            TestReplica::start(&queues, Behaviour::Serve).await,
        ];
        let load = load(replicas.each_ref().map(|replica| replica.endpoint.clone()).to_vec());
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("history");
        let history = History::start(&file, load.endpoints.clone()).unwrap();
        let loaded = run_quietly(&load, Some(history.recorder())).await.unwrap();
        assert!(loaded.complete && !loaded.interrupted && loaded.drained);
        let written = history.finish().unwrap();
        let lines = std::fs::read_to_string(file).unwrap();
        let calls: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(calls.len() as u64, written);

        // Everything that was executed is there, and nothing twice: queues made and destroyed, and the warm-up too.
        let sequences: BTreeSet<_> =
            calls.iter().map(|call| call["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences, (1..=written).collect());
        let of = |op: &str| calls.iter().filter(|call| call["op"] == op).collect::<Vec<_>>();
        assert_eq!((of("create").len(), of("destroy").len()), (3, 3));
        assert!(written > loaded.summary.all.operations + 6, "the warm-up is missing");
        let items: BTreeSet<_> =
            of("push").iter().map(|call| call["arguments"]["item"].as_i64().unwrap()).collect();
        assert_eq!(items.len(), of("push").len());
        let popped = of("pop").iter().filter(|call| call["result"]["item"].is_i64()).count();
        assert_eq!(popped, items.len(), "the queues were popped empty");
        let endpoints: BTreeSet<_> =
            calls.iter().map(|call| call["endpoint"].as_str().unwrap()).collect();
        assert_eq!(endpoints.len(), 2);
        let clients: BTreeSet<_> =
            calls.iter().map(|call| call["client"].as_u64().unwrap()).collect();
        assert_eq!(clients, (0..=8).collect());
        for call in &calls {
            assert!(call["invoked_ns"].as_u64().unwrap() <= call["returned_ns"].as_u64().unwrap());
        }
        assert_eq!(loaded.summary.by_operation.len(), 4);
        assert!(loaded.summary.errors.is_empty(), "{:?}", loaded.summary);
    }

    #[tokio::test]
    async fn a_replica_that_is_not_there_is_counted_and_the_others_go_on() {
        let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
        let nobody = Nobody::new();
        let load = load(vec![nobody.endpoint.clone(), replica.endpoint.clone()]);
        let loaded = run_quietly(&load, None).await.unwrap();
        assert!(loaded.drained, "by those whose replica is there");
        assert!(loaded.summary.all.operations > 0);
        assert!(loaded.summary.errors["NOT_CONNECTED"] > 0);
        assert_eq!(loaded.summary.errors.len(), 1, "{:?}", loaded.summary);
    }

    #[tokio::test]
    async fn without_queues_there_is_no_load() {
        let nobody = Nobody::new();
        let failure = run_quietly(&load(vec![nobody.endpoint.clone()]), None).await.err().unwrap();
        assert_eq!(failure.reason, "NOT_CONNECTED");
    }
}
