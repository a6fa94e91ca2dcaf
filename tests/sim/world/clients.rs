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
        if self.nodes[node].replica.is_none() {
            // Nobody listens there.
            return self.end_call(index, Outcome::NotExecuted);
        }
        self.nodes[node].open.insert(index);
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

    /// A call is answered.
    pub(super) fn answer(&mut self, id: CallId, result: Result<Executed, Refusal>) {
        let call = &self.workload.calls[id.0 as usize];
        let node = call.node;
        if let (Ok(executed), Some(replica)) = (&result, &self.nodes[node].replica) {
            let executed_here = replica.queues().sequence();
            assert!(executed.sequence <= executed_here, "an answer comes before its execution");
        }
        if !self.nodes[node].open.remove(&(id.0 as usize)) {
            assert!(self.healed_at.is_some(), "a call is answered once");
            // Its replica is broken for good, and its caller has given up.
            return;
        }
        let outcome = match result {
            Ok(executed) => Outcome::Executed(executed),
            Err(Refusal::Overloaded { .. } | Refusal::StorageFull) => Outcome::NotExecuted,
            Err(Refusal::DeadlineExceeded { sent, .. } | Refusal::Unavailable { sent, .. }) => {
                if sent {
                    Outcome::Unknown
                } else {
                    Outcome::NotExecuted
                }
            }
        };
        self.note(&[6, node as u64, id.0]);
        if self.story.is_some() {
            self.story_line(format_args!("r{node}        answers {}", outcome.told()));
        }
        self.end_call(id.0 as usize, outcome);
    }

    /// A call ends, and its client goes on.
    pub(super) fn end_call(&mut self, index: usize, outcome: Outcome) {
        let call = &mut self.workload.calls[index];
        assert_eq!(call.returned, u64::MAX, "a call ends once");
        call.returned = self.now;
        let refused = !matches!(outcome, Outcome::Executed(_));
        call.outcome = outcome;
        self.workload.waiting -= 1;
        let (client, node, action) = (call.client, call.node, call.action);
        if client == usize::MAX {
            if refused && self.healed_at.is_some() && self.whole().contains(&node) {
                // Every replica that is whole must answer in the end.
                let call = self.workload.tell(node, action);
                self.schedule(self.now + 20 * MILLISECOND, Happening::Told { node, call });
            }
            return;
        }
        let pause = if refused { 20 * MILLISECOND } else { 0 };
        let think = pause + self.random.below(self.options.think);
        self.schedule(self.now + think, Happening::Invoke { client });
    }
}
