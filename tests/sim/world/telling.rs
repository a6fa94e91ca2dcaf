//! A run that is told as a story: its calls and pauses come from a script, its trace is kept.

use ftqueue::testing::Action;

use super::{Happening, World};
use crate::check::check_answers;
use crate::options::{Cut, Fault, MILLISECOND};
use crate::story::{Fate, Story, Told};
use crate::workload::{Call, Outcome};

impl World {
    /// What the story says of the datagram that was read last, sent to `to`.
    pub(super) fn told_fate(&mut self, from: usize, to: usize) -> Option<Fate> {
        let (story, read) = (self.story.as_mut()?, self.last_read[from].1.as_ref()?);
        let fate = story.fate(self.now, from, to, read);
        story.sent(self.now, from, to, read, fate);
        fate
    }

    /// Lets a story be told: its calls and pauses at their times.
    pub(crate) fn tell(
        &mut self,
        story: Story,
        calls: Vec<(u64, usize, Action)>,
        events: Vec<(u64, Told)>,
    ) {
        self.story = Some(story);
        for (at, node, action) in calls {
            let call = self.workload.tell(node, action);
            self.schedule(at, Happening::Told { node, call });
        }
        for (at, told) in events {
            self.schedule(at, Happening::Script { told });
        }
    }

    /// Runs to a point in time; gives the story as it was told.
    pub(crate) fn run_until(mut self, until: u64) -> Story {
        while self.next_at() <= until {
            self.step();
        }
        check_answers(&self.workload.calls, self.ledger.entries(), self.options.limits);
        self.story.expect("a story is told")
    }

    /// The script says that something happens.
    pub(super) fn scripted(&mut self, told: Told) {
        match told {
            Told::Pause(node, duration) => {
                let duration_ms = duration / MILLISECOND;
                self.story_line(format_args!("r{node}        pauses for {duration_ms} ms"));
                self.nodes[node].paused_until = self.now + duration;
            }
            Told::Crash(node) => self.crash(node, true),
            Told::Restart(node) => self.start(node),
            Told::Leave(node) => {
                self.story_line(format_args!("r{node}        is told to leave"));
                self.fault(node, Fault::Leave);
            }
            Told::LoseDisk(node, how) => {
                self.story_line(format_args!("r{node}        has another disk: {how:?}"));
                self.lose_disk(node, how, MILLISECOND);
            }
            Told::Sync(node, duration) => {
                let duration_ms = duration / MILLISECOND;
                self.story_line(format_args!("r{node}        has syncs of {duration_ms} ms"));
                self.options.sync[node] = (duration, duration);
            }
            Told::Hang(node) => {
                self.story_line(format_args!("r{node}        has a disk that hangs"));
                self.nodes[node].hangs = true;
            }
            Told::CopyDisk(node) => {
                self.story_line(format_args!("r{node}        has its disk copied"));
                self.nodes[node].copy_disk();
            }
            Told::Cut(from, to) => {
                self.story_line(format_args!("r{from} -/ r{to}"));
                self.network.cut(Cut { from, to, since: 0, until: u64::MAX });
            }
            Told::Answered => {
                let asked = 1..self.now;
                let lacks = |call: &Call| {
                    asked.contains(&call.invoked)
                        && !matches!(call.outcome, Outcome::Executed { .. })
                };
                let lacking = self.workload.calls.iter().filter(|call| lacks(call)).count();
                assert_eq!(lacking, 0, "calls that should have been answered");
            }
            Told::Members(count) => {
                let views = self.nodes.iter().filter_map(|node| node.replica.as_ref()?.view());
                let of_all = views.filter(|view| view.members.len() == count).count();
                assert_eq!(of_all, count, "replicas that should be members of one view");
            }
            Told::Heal => {
                self.story_line("all links are whole again");
                self.network.heal();
            }
        }
    }

    pub(super) fn told(&mut self, node: usize, call: usize) {
        self.workload.calls[call].invoked = self.now;
        let action = self.workload.calls[call].action;
        self.story_line(format_args!("r{node}        is asked {action:?}"));
        self.ask(call);
    }

    pub(super) fn story_line(&mut self, what: impl std::fmt::Display) {
        if let Some(story) = &mut self.story {
            story.line(self.now, &what.to_string());
        }
    }
}
