//! The clients' side of a run: calls are asked, and answered.

use ftqueue::testing::{CallId, Event, Executed, Instant, Operation, Refusal};

use super::{Happening, World};
use crate::options::MILLISECOND;
use crate::workload::{Again, Outcome};

/// How long a caller waits before it looks again whether it may ask.
const LOOK: u64 = 20 * MILLISECOND;

impl World {
    pub(super) fn invoke(&mut self, caller: usize) {
        if self.workload.left > 0 && !self.workload.may_ask(caller) {
            return self.schedule(self.now + LOOK, Happening::Invoke { caller });
        }
        let Some(index) = self.workload.invoke(self.now, caller) else {
            return;
        };
        self.ask_besides(index, Again::Besides);
        self.ask(index);
    }

    /// A client may ask something by the name of a call, now or later.
    fn ask_besides(&mut self, call: usize, again: Again) {
        if let Some(after) = self.workload.besides(call, again) {
            self.schedule(self.now + after, Happening::Again { call, again });
        }
    }

    /// A client asks by a name that it used before.
    pub(super) fn ask_again(&mut self, call: usize, again: Again) {
        let healed = self.healed_at.is_some();
        if healed && again != Again::Unanswered {
            return;
        }
        let nodes = if healed { self.whole() } else { (0..self.nodes.len()).collect() };
        let Some(try_index) = self.workload.ask_again(self.now, call, again, &nodes) else {
            return;
        };
        let first = &self.workload.calls[call];
        if first.returned == u64::MAX {
            self.probes.hit("asked_again_while_under_way");
        }
        if first.node != self.workload.calls[try_index].node {
            self.probes.hit("asked_again_elsewhere");
        }
        self.ask(try_index);
    }

    /// A call goes to its replica.
    pub(super) fn ask(&mut self, index: usize) {
        let call = &self.workload.calls[index];
        let (node, action, patience) = (call.node, call.action, call.patience);
        if self.nodes[node].replica.is_none() {
            // Nobody listens there.
            return self.end_call(index, Outcome::NotExecuted);
        }
        self.nodes[node].open.insert(index);
        self.note(&[3, node as u64, index as u64]);
        let deadline = Instant(self.nodes[node].local(self.now).0 + patience);
        let request = self.workload.calls[index].name.clone();
        let operation = Operation::new(action, request);
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
        let (caller, node, action, named) =
            (call.caller, call.node, call.action, call.name.is_some());
        if caller == usize::MAX {
            self.workload.waiting -= 1;
            if !named && refused && self.healed_at.is_some() && self.whole().contains(&node) {
                // Every replica that is whole must answer in the end.
                let call = self.workload.tell(node, action);
                self.schedule(self.now + 20 * MILLISECOND, Happening::Told { node, call });
            }
            return;
        }
        if refused && self.workload.tries_again(index, self.healed_at.is_some()) {
            return self.ask_besides(index, Again::Unanswered);
        }
        self.workload.waiting -= 1;
        self.workload.settle(index);
        if !refused {
            self.ask_besides(index, Again::Besides);
            self.ask_besides(index, Again::Other);
        }
        let pause = if refused { 20 * MILLISECOND } else { 0 };
        let think = pause + self.random.below(self.options.think);
        self.schedule(self.now + think, Happening::Invoke { caller });
    }
}
