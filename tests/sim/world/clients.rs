//! The clients' side of a run: calls are asked, and answered.

use ftqueue::testing::{CallId, Event, Executed, Instant, Operation, Refusal, RequestName};

use super::{Happening, World};
use crate::options::{MILLISECOND, Names};
use crate::workload::Outcome;

impl World {
    pub(super) fn invoke(&mut self, client: usize) {
        let Some(index) = self.workload.invoke(self.now, client) else {
            return;
        };
        self.ask(index);
    }

    /// A call goes to its replica.
    pub(super) fn ask(&mut self, index: usize) {
        let call = &self.workload.calls[index];
        let (client, node) = (call.client, call.node);
        let (action, patience) = (call.action, call.patience);
        self.note(&[3, node as u64, index as u64]);
        let deadline = Instant(self.nodes[node].local(self.now).0 + patience);
        let number = index as u64 + 1;
        let named = |client: String| Some(RequestName { client: client.into(), number });
        let request = match self.options.names {
            Names::None => None,
            Names::Short => named(format!("{client}")),
            Names::Long => named(format!("{client:064}")),
        };
        let operation = Operation { action, request };
        self.nodes[node].inbox.push(Event::Call {
            call: CallId(index as u64),
            operation,
            deadline,
        });
        self.wake_soon(node);
    }

    /// A call is answered; its client goes on.
    pub(super) fn answer(&mut self, id: CallId, result: Result<Executed, Refusal>) {
        let call = &mut self.workload.calls[id.0 as usize];
        if let Ok(executed) = &result {
            let executed_here = self.nodes[call.node].replica.queues().sequence();
            assert!(executed.sequence <= executed_here, "an answer comes before its execution");
        }
        assert_eq!(call.returned, u64::MAX, "a call is answered once");
        call.returned = self.now;
        self.workload.waiting -= 1;
        call.outcome = match result {
            Ok(executed) => Outcome::Executed(executed),
            Err(Refusal::Overloaded { .. }) => Outcome::NotExecuted,
            Err(Refusal::DeadlineExceeded { sent, .. } | Refusal::Unavailable { sent, .. }) => {
                if sent {
                    Outcome::Unknown
                } else {
                    Outcome::NotExecuted
                }
            }
        };
        let told = format!("r{}        answers {}", call.node, call.outcome.told());
        let refused = !matches!(call.outcome, Outcome::Executed(_));
        let (client, node) = (call.client, call.node);
        self.note(&[6, node as u64, id.0]);
        self.story_line(&told);
        let pause = if refused { 20 * MILLISECOND } else { 0 };
        let think = pause + self.random.below(MILLISECOND / 2);
        self.schedule(self.now + think, Happening::Invoke { client });
    }
}
