use super::test_replica::{Behaviour, Nobody, Queues, TestReplica};
use super::*;

const PATIENCE: Duration = Duration::from_secs(5);
const CREATE: Action = Action::Create { label: -7 };
const PUSH: Action = Action::Push { queue: 1, item: -3 };
const SIZE: Action = Action::Size { queue: 1 };

async fn answer(client: &mut Client, action: Action) -> Answer {
    client.call(action).await.result.unwrap().answer
}

async fn failure(client: &mut Client, action: Action) -> Failure {
    client.call(action).await.result.unwrap_err()
}

#[tokio::test]
async fn every_action_gets_its_answer_and_its_sequence() {
    let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
    let mut client = Client::new(vec![replica.endpoint.clone()], PATIENCE);
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
    let failure = failure(&mut client, SIZE).await;
    assert_eq!(failure.reason, "QUEUE_NOT_FOUND");
    assert_eq!(failure.outcome, Outcome::Executed { sequence: 13 });
}

#[tokio::test]
async fn a_replica_that_is_not_there_is_passed_over_and_then_forgotten() {
    let replica = TestReplica::start(&Queues::default(), Behaviour::Serve).await;
    let nobody = Nobody::new();
    let mut client = Client::new(vec![nobody.endpoint.clone(), replica.endpoint.clone()], PATIENCE);
    assert_eq!(answer(&mut client, CREATE).await, Answer::Queue(1));
    assert_eq!(client.endpoint(), &replica.endpoint);
}

#[tokio::test]
async fn no_replica_there_ends_the_call_at_once_and_names_them_all() {
    let nobodies = [Nobody::new(), Nobody::new()];
    let endpoints = nobodies.each_ref().map(|nobody| nobody.endpoint.clone()).to_vec();
    let mut client = Client::new(endpoints.clone(), Duration::from_secs(3600));
    let failure = failure(&mut client, CREATE).await;
    assert_eq!(failure.cause, FailureCause::NotConnected);
    assert_eq!(failure.outcome, Outcome::NotExecuted);
    for endpoint in endpoints {
        assert!(failure.message.contains(endpoint.as_str()), "{}", failure.message);
    }
    assert!(failure.message.contains("refused"), "{}", failure.message);
}

#[tokio::test]
async fn a_call_that_was_not_executed_goes_to_the_next_replica() {
    let queues = Queues::default();
    let unavailable = Behaviour::Unavailable { outcome: "not_executed" };
    let first = TestReplica::start(&queues, unavailable).await;
    let second = TestReplica::start(&queues, Behaviour::Serve).await;
    let mut client = Client::new(vec![first.endpoint.clone(), second.endpoint.clone()], PATIENCE);
    answer(&mut client, CREATE).await;
    answer(&mut client, PUSH).await;
    assert_eq!(queues.items(), [-3]);
}

#[tokio::test]
async fn a_push_that_may_have_been_executed_is_never_repeated() {
    for behaviour in [Behaviour::Unavailable { outcome: "unknown" }, Behaviour::Hang] {
        let queues = Queues::default();
        let first = TestReplica::start(&queues, behaviour).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let mut setup = Client::new(vec![second.endpoint.clone()], PATIENCE);
        answer(&mut setup, CREATE).await;
        let endpoints = vec![first.endpoint.clone(), second.endpoint.clone()];
        let mut client = Client::new(endpoints, Duration::from_millis(300));
        let called = client.call(PUSH).await;
        assert_eq!(called.endpoint, first.endpoint, "{behaviour:?}");
        assert_eq!(called.result.unwrap_err().outcome, Outcome::Unknown, "{behaviour:?}");
        assert_eq!(queues.items(), [-3], "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_read_goes_on_to_a_replica_that_answers() {
    for behaviour in [Behaviour::Unavailable { outcome: "unknown" }, Behaviour::Hang] {
        let queues = Queues::default();
        let first = TestReplica::start(&queues, behaviour).await;
        let second = TestReplica::start(&queues, Behaviour::Serve).await;
        let mut setup = Client::new(vec![second.endpoint.clone()], PATIENCE);
        answer(&mut setup, CREATE).await;
        let endpoints = vec![first.endpoint.clone(), second.endpoint.clone()];
        let mut client = Client::new(endpoints, Duration::from_secs(2));
        let called = client.call(SIZE).await;
        assert_eq!(called.endpoint, second.endpoint, "{behaviour:?}");
        assert_eq!(called.result.unwrap().answer, Answer::Size(0), "{behaviour:?}");
    }
}

#[tokio::test]
async fn replicas_that_cannot_serve_are_asked_again_until_the_timeout() {
    let queues = Queues::default();
    let unavailable = Behaviour::Unavailable { outcome: "not_executed" };
    let replica = TestReplica::start(&queues, unavailable).await;
    let nobody = Nobody::new();
    let endpoints = vec![replica.endpoint.clone(), nobody.endpoint.clone()];
    let mut client = Client::new(endpoints, Duration::from_millis(200));
    let started = Instant::now();
    let called = client.call(CREATE).await;
    // It gives up when the next pause would end after the timeout; a pause is at most 50 ms longer than all that was
    // waited before it.
    assert!(started.elapsed() >= Duration::from_millis(75), "{:?}", started.elapsed());
    assert_eq!(called.endpoint, replica.endpoint);
    assert_eq!(called.result.unwrap_err().reason, "NO_VIEW");
}

#[tokio::test]
async fn a_lost_connection_leaves_a_push_unknown_and_the_next_call_connects_anew() {
    let queues = Queues::default();
    let hanging = TestReplica::start(&queues, Behaviour::Hang).await;
    let serving = TestReplica::start(&queues, Behaviour::Serve).await;
    let mut setup = Client::new(vec![serving.endpoint.clone()], PATIENCE);
    answer(&mut setup, CREATE).await;
    let endpoints = vec![hanging.endpoint.clone(), serving.endpoint.clone()];
    let mut client = Client::new(endpoints, PATIENCE);
    let (failure, ()) = tokio::join!(failure(&mut client, PUSH), async {
        while queues.items().is_empty() {
            tokio::task::yield_now().await;
        }
        drop(hanging);
    });
    assert_eq!(failure.outcome, Outcome::Unknown);
    assert_ne!(failure.cause, FailureCause::Replica);
    assert_eq!(answer(&mut client, SIZE).await, Answer::Size(1));
}
