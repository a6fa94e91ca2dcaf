use tonic::Code;

use super::test_replica::{Behaviour, Nobody, Queues, TestReplica};
use super::*;

const PATIENCE: Duration = Duration::from_secs(5);
const CREATE: Action = Action::Create { label: -7 };
const PUSH: Action = Action::Push { queue: 1, item: -3 };
const SIZE: Action = Action::Size { queue: 1 };
const LOST: Behaviour = Behaviour::Unavailable { outcome: "unknown" };

fn client<const N: usize>(endpoints: [&Endpoint; N], timeout: Duration) -> Client {
    Client::new(endpoints.map(Clone::clone), ClientOptions::default().timeout(timeout))
}

/// Queues with one queue, made by a client whose number 1 that was.
async fn one_queue() -> Queues {
    let queues = Queues::default();
    let replica = TestReplica::start(&queues, Behaviour::Serve).await;
    answer(&client([&replica.endpoint], PATIENCE), CREATE).await;
    queues
}

async fn answer(client: &Client, action: Action) -> Answer {
    client.call(action).await.result.unwrap().answer
}

async fn failure(client: &Client, action: Action) -> Failure {
    client.call(action).await.result.unwrap_err()
}

/// The numbers that came of the client's requests.
fn numbers(queues: &Queues, client: &str) -> Vec<u64> {
    let came = queues.came().into_iter();
    came.filter(|(name, _)| name == client).map(|(_, number)| number).collect()
}

#[tokio::test]
async fn every_action_gets_its_answer_and_its_sequence() {
    let queues = Queues::default();
    let replica = TestReplica::start(&queues, Behaviour::Serve).await;
    let client = client([&replica.endpoint], PATIENCE);
    let (queue, item) = (1, -3);
    let expected = [
        (Action::Id { label: -7 }, Answer::Label(None)),
        (CREATE, Answer::Queue(1)),
        (Action::Id { label: -7 }, Answer::Label(Some(1))),
        (Action::Pop { queue }, Answer::Item(None)),
        (Action::Push { queue, item }, Answer::Pushed),
        (Action::Push { queue, item: 0 }, Answer::Pushed),
        (Action::Top { queue }, Answer::Item(Some(item))),
        (Action::Size { queue }, Answer::Size(2)),
        (Action::Pop { queue }, Answer::Item(Some(item))),
        (Action::Pop { queue }, Answer::Item(Some(0))),
        (Action::Size { queue }, Answer::Size(0)),
        (Action::Destroy { queue }, Answer::Destroyed),
    ];
    for (sequence, (action, answer)) in (1..).zip(expected) {
        let called = client.call(action).await;
        assert_eq!(called.endpoint, replica.endpoint);
        assert_eq!(called.result.unwrap(), Answered { answer, sequence, duplicate: false });
    }
    let failure = failure(&client, SIZE).await;
    assert_eq!(failure.reason, "QUEUE_NOT_FOUND");
    assert_eq!(failure.outcome, Outcome::Executed { sequence: 13 });
    // What changes state is named, by numbers that rise; reads are not.
    assert_eq!(numbers(&queues, &client.name()), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn typed_calls_have_typed_answers_and_errors() {
    let queues = Queues::default();
    let replica = TestReplica::start(&queues, Behaviour::Serve).await;
    let options = ClientOptions::default().name("me", 4);
    let client = Client::new([replica.endpoint.clone()], options);
    assert_eq!(client.id(7).await.unwrap().answer, None);
    let queue = client.create(7).await.unwrap().answer;
    assert_eq!(client.id(7).await.unwrap().answer, Some(queue));
    let pushed = client.push(queue, 42).await.unwrap();
    assert_eq!(pushed, Answered { answer: (), sequence: 4, duplicate: false });
    assert_eq!(client.top(queue).await.unwrap().answer, Some(42));
    assert_eq!(client.size(queue).await.unwrap().answer, 1);
    assert_eq!(client.pop(queue).await.unwrap().answer, Some(42));
    assert_eq!(client.pop(queue).await.unwrap().answer, None);
    assert_eq!(client.destroy(queue).await.unwrap().answer, ());

    let error = client.push(queue, 1).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), ("NOT_FOUND", "QUEUE_NOT_FOUND"));
    assert_eq!(error.outcome(), Outcome::Executed { sequence: 10 });
    assert_eq!(error.endpoint(), &replica.endpoint);
    assert_eq!(error.metadata()["queue_id"], "1");
    assert_eq!(*error.request().unwrap(), RequestName { client: "me".into(), number: 9 });
    let why = format!("no queue has id 1 (QUEUE_NOT_FOUND, {}; executed as 10)", replica.endpoint);
    assert_eq!(error.to_string(), why);
    assert_eq!(numbers(&queues, "me"), [4, 5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn a_replica_that_is_not_there_is_passed_over_and_then_forgotten() {
    let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
    let nobody = Nobody::new();
    let client = client([&nobody.endpoint, &replica.endpoint], PATIENCE);
    assert_eq!(answer(&client, CREATE).await, Answer::Queue(1));
    assert_eq!(client.endpoint(), &replica.endpoint);
}

#[tokio::test]
async fn where_nobody_is_there_the_call_is_not_executed_and_names_them_all() {
    let nobodies = [Nobody::new(), Nobody::new()];
    let endpoints = nobodies.each_ref().map(|nobody| &nobody.endpoint);
    let client = client(endpoints, Duration::from_millis(300));
    let started = Instant::now();
    let failure = failure(&client, CREATE).await;
    assert!(started.elapsed() > Duration::from_millis(250), "{:?}", started.elapsed());
    assert_eq!(failure.cause, FailureCause::NotConnected);
    assert_eq!(failure.outcome, Outcome::NotExecuted);
    for endpoint in endpoints {
        assert!(failure.message.contains(endpoint.as_str()), "{}", failure.message);
    }
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn a_replicas_trouble_is_not_the_clusters() {
    let refuse = |code, reason| Behaviour::Refuse { code, reason };
    for behaviour in [
        Behaviour::Unavailable { outcome: "not_executed" },
        refuse(Code::ResourceExhausted, "OVERLOADED"),
        refuse(Code::ResourceExhausted, "STORAGE_FULL"),
    ] {
        let queues = Queues::default();
        let first = TestReplica::start(&queues, behaviour).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let client = client([&first.endpoint, &second.endpoint], PATIENCE);
        answer(&client, CREATE).await;
        answer(&client, PUSH).await;
        assert_eq!(queues.items(), [-3], "{behaviour:?}");
        // The second call went to the replica that answered the first.
        assert_eq!(numbers(&queues, &client.name()), [1, 1, 2], "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_lone_replica_is_asked_again_after_a_pause() {
    for behaviour in
        [LOST, Behaviour::Refuse { code: Code::ResourceExhausted, reason: "OVERLOADED" }]
    {
        let queues = one_queue().await;
        let replica = TestReplica::start_with(&queues, behaviour, 3, Behaviour::Serve).await;
        let client = client([&replica.endpoint], PATIENCE);
        let answered = client.push(1, 5).await.unwrap();
        assert_eq!(answered.duplicate, behaviour == LOST);
        assert_eq!(queues.items(), [5], "{behaviour:?}");
        assert_eq!(numbers(&queues, &client.name()), [1; 4], "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_push_whose_answer_was_lost_is_repeated_by_its_name_and_executed_once() {
    for behaviour in [LOST, Behaviour::Hang] {
        let queues = one_queue().await;
        let first = TestReplica::start(&queues, behaviour).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let client = client([&first.endpoint, &second.endpoint], Duration::from_secs(2));
        let called = client.call(PUSH).await;
        assert_eq!(called.endpoint, second.endpoint, "{behaviour:?}");
        let answered = Answered { answer: Answer::Pushed, sequence: 2, duplicate: true };
        assert_eq!(called.result.unwrap(), answered, "{behaviour:?}");
        let (name, number) = (client.name(), called.request.unwrap().number);
        assert_eq!((queues.items(), number), (vec![-3], 1), "{behaviour:?}");
        // The next request is another one.
        answer(&client, PUSH).await;
        assert_eq!((queues.items(), numbers(&queues, &name)), (vec![-3, -3], vec![1, 1, 2]));
    }
}

#[tokio::test]
async fn a_push_that_is_never_answered_is_unknown_and_can_be_repeated_by_its_name() {
    let queues = one_queue().await;
    let hanging = TestReplica::start(&queues, Behaviour::Hang).await;
    let error =
        client([&hanging.endpoint], Duration::from_millis(300)).push(1, 5).await.unwrap_err();
    // Whose timer was first.
    assert!(["NO_ANSWER", "CANCELLED"].contains(&error.reason()), "{error}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    let request = error.request().unwrap().clone();
    assert!(error.to_string().contains(&format!("request 1 of {}", request.client)), "{error}");

    let serving = TestReplica::start(&queues, Behaviour::Serve).await;
    let other = client([&serving.endpoint], PATIENCE);
    let reused = other.named(request.clone()).push(1, 6).await.unwrap_err();
    assert_eq!((reused.reason(), reused.outcome()), ("REQUEST_REUSED", Outcome::NotExecuted));
    let answered = other.named(request).push(1, 5).await.unwrap();
    assert!(answered.duplicate);
    assert_eq!(queues.items(), [5]);
}

#[tokio::test]
async fn the_client_keeps_its_name_where_what_was_unknown_was_repeated_and_answered() {
    for repeated in [true, false] {
        let queues = one_queue().await;
        let replica = TestReplica::start(&queues, Behaviour::Serve).await;
        let client = client([&replica.endpoint], PATIENCE);
        client.push(1, 1).await.unwrap();
        let ticket = client.inner.names.take().await;
        let request = ticket.request().clone();
        ticket.end(Ended::Unknown);
        if repeated {
            client.named(request.clone()).push(1, 2).await.unwrap();
        }
        for item in 3..40 {
            client.push(1, item).await.unwrap();
        }
        assert_eq!(client.name() == request.client, repeated);
        // The replicas heard of none that would make them forget it.
        let last = *numbers(&queues, &request.client).last().unwrap();
        assert_eq!(last, if repeated { 39 } else { 33 });
    }
}

#[tokio::test]
async fn a_repeated_request_that_reaches_nobody_may_have_been_executed_before() {
    let nobody = Nobody::new();
    let client = client([&nobody.endpoint], Duration::from_millis(50));
    let request = RequestName { client: "me".into(), number: 1 };
    let error = client.named(request).pop(1).await.unwrap_err();
    assert_eq!((error.reason(), error.outcome()), ("NOT_CONNECTED", Outcome::Unknown));
}

#[tokio::test]
async fn a_first_request_of_unknown_outcome_does_not_stop_those_after_it() {
    let queues = one_queue().await;
    let replica = TestReplica::start_with(&queues, Behaviour::Hang, 3, Behaviour::Serve).await;
    let client = client([&replica.endpoint], Duration::from_millis(150));
    let error = client.push(1, 5).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    let before = error.request().unwrap().client.clone();
    assert_ne!(client.name(), before);
    // How many tries fit in the timeout is a matter of the pauses: the replica may hang once more.
    while client.push(1, 6).await.is_err() {}
    assert_eq!(numbers(&queues, &client.name()).first(), Some(&1));
}

#[tokio::test]
async fn what_is_forgotten_after_a_try_is_unknown() {
    let queues = one_queue().await;
    let lost = TestReplica::start(&queues, LOST).await;
    let refuse = Behaviour::Refuse { code: Code::FailedPrecondition, reason: "REQUEST_FORGOTTEN" };
    let forgets = TestReplica::start(&queues, refuse).await;
    let client = client([&lost.endpoint, &forgets.endpoint], PATIENCE);
    let error = client.push(1, 5).await.unwrap_err();
    assert_eq!((error.reason(), error.outcome()), ("REQUEST_FORGOTTEN", Outcome::Unknown));
    let name = error.request().unwrap().client.clone();
    assert_eq!(numbers(&queues, &name), [1, 1]);
}

#[tokio::test]
async fn what_was_never_tried_before_is_sent_under_a_new_name_when_the_old_one_is_forgotten() {
    let queues = one_queue().await;
    let refuse = Behaviour::Refuse { code: Code::FailedPrecondition, reason: "REQUEST_FORGOTTEN" };
    let forgets = TestReplica::start_with(&queues, refuse, 1, Behaviour::Serve).await;
    let client = client([&forgets.endpoint], PATIENCE);
    // As after a first request that was answered, long ago.
    client.inner.names.take().await.end(Ended::Executed);
    let before = client.name();
    client.push(1, 6).await.unwrap();
    assert_eq!(queues.items(), [6]);
    assert_eq!(numbers(&queues, &before), [2]);
    assert_ne!(client.name(), before);
    assert_eq!(numbers(&queues, &client.name()), [1]);

    // A name of the caller's stays, and he is told.
    let forgets = TestReplica::start(&queues, refuse).await;
    let options = ClientOptions::default().name("me", 9);
    let client = Client::new([forgets.endpoint.clone()], options);
    let error = client.push(1, 7).await.unwrap_err();
    assert_eq!((error.reason(), error.outcome()), ("REQUEST_FORGOTTEN", Outcome::Unknown));
    assert_eq!(numbers(&queues, "me"), [9]);
}

#[tokio::test]
async fn clones_call_at_the_same_time_once_the_first_request_is_answered() {
    let queues = one_queue().await;
    let replica = TestReplica::start(&queues, Behaviour::Serve).await;
    let client = client([&replica.endpoint], PATIENCE);
    let mut pushing = tokio::task::JoinSet::new();
    for item in 0..100 {
        let client = client.clone();
        pushing.spawn(async move { client.push(1, item).await.unwrap() });
    }
    assert!(pushing.join_all().await.iter().all(|answered| !answered.duplicate));
    let mut items = queues.items();
    items.sort_unstable();
    assert_eq!(items, (0..100).collect::<Vec<_>>());
    let came = numbers(&queues, &client.name());
    assert_eq!(came[0], 1);
    for (place, number) in (1_u64..).zip(&came) {
        assert!(place.abs_diff(*number) < 32, "{number} came as {place}");
    }
}

#[tokio::test]
async fn who_waits_behind_others_to_the_end_has_sent_nothing() {
    let queues = one_queue().await;
    let replica = TestReplica::start(&queues, Behaviour::Serve).await;
    let client = client([&replica.endpoint], Duration::from_millis(50));
    let first = client.inner.names.take().await;
    let error = client.push(1, 6).await.unwrap_err();
    assert_eq!((error.reason(), error.outcome()), ("NOT_SENT", Outcome::NotExecuted));
    assert_eq!(error.request(), None);
    first.end(Ended::Executed);
    client.push(1, 7).await.unwrap();
    assert_eq!(queues.items(), [7]);
}

#[tokio::test]
async fn a_read_goes_on_to_a_replica_that_answers() {
    for behaviour in [LOST, Behaviour::Hang] {
        let queues = one_queue().await;
        let first = TestReplica::start(&queues, behaviour).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let client = client([&first.endpoint, &second.endpoint], Duration::from_secs(2));
        let called = client.call(SIZE).await;
        assert_eq!(called.endpoint, second.endpoint, "{behaviour:?}");
        assert_eq!(called.request, None);
        assert_eq!(called.result.unwrap().answer, Answer::Size(0), "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_anew_and_the_call_repeated() {
    let queues = one_queue().await;
    let hanging = TestReplica::start(&queues, Behaviour::Hang).await;
    let serving = TestReplica::start(&queues, Behaviour::Serve).await;
    let client = client([&hanging.endpoint, &serving.endpoint], Duration::from_secs(60));
    let started = Instant::now();
    let (answered, ()) = tokio::join!(client.push(1, -3), async {
        while queues.items().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(hanging);
    });
    assert!(answered.unwrap().duplicate);
    // It did not wait for the end of the try's share.
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert_eq!(answer(&client, SIZE).await, Answer::Size(1));
}
