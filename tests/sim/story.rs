//! Stories: situations as scripts with golden traces, from which a reader can learn the protocol.
//!
//! A file in `stories/` has a situation in words, commands, a line `---`, and the trace that they give.
//! `UPDATE=1 cargo test --test sim stories` writes the traces anew; look at the difference before you keep it.
//!
//! Every link takes 1 ms, a sync none, clocks agree. Commands, times in milliseconds:
//!
//! ```text
//! replicas N
//! call MS rX create LABEL | push QUEUE ITEM | pop QUEUE | top QUEUE | size QUEUE
//! lose MS rX rY KIND COUNT     the first COUNT datagrams from then on with such a chunk are lost
//! twice MS rX rY KIND COUNT    they come a second time, 1 ms later
//! late MS rX rY KIND COUNT DELAY   they come that much later
//! pause MS rX DURATION         the replica does nothing for so long
//! crash MS rX                  its process ends
//! restart MS rX                it starts, with what its disk holds
//! leave MS rX                  it is told to stop
//! wipe MS rX                   its process ends, and starts with an empty disk
//! sync MS rX DURATION          its syncs take so long from then on
//! hang MS rX                   its disk does nothing any more: no sync ends
//! copy MS rX                   a copy is made of its disk
//! put-back MS rX               its process ends, and starts with the copy
//! cut MS rX rY                 nothing passes from the one to the other
//! heal MS                      all passes again
//! answered MS                  by then all calls so far must have been executed and answered
//! members MS COUNT             then so many replicas must be in a view of so many
//! from MS                      the trace begins: at 900, where nothing is said
//! until MS                     the trace ends
//! ```

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ftqueue::testing::{Action, Chunk, Datagram, DiskId, MessageName, PlantedBug};

use crate::options::{Loss, MILLISECOND, Options};
use crate::world::World;

/// What becomes of some datagrams.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    from_time: u64,
    from: usize,
    to: usize,
    kind: String,
    count: usize,
    fate: Fate,
}

/// See the commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    Lost,
    Twice,
    Late(u64),
}

/// What else a script does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Told {
    Pause(usize, u64),
    Crash(usize),
    Restart(usize),
    Leave(usize),
    /// Its process ends, and comes back at once with such a disk.
    LoseDisk(usize, Loss),
    CopyDisk(usize),
    Hang(usize),
    /// Its syncs take so long from now on.
    Sync(usize, u64),
    Cut(usize, usize),
    Heal,
    /// All calls so far are to have been executed and answered.
    Answered,
    /// So many replicas are to be in a view of so many.
    Members(usize),
}

/// A script that is being run, and its trace so far.
#[derive(Default)]
pub(crate) struct Story {
    rules: Vec<Rule>,
    from: u64,
    trace: String,
}

impl Story {
    /// What becomes of a datagram that is sent now, if the script says.
    pub(crate) fn fate(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        datagram: &Datagram,
    ) -> Option<Fate> {
        let matches = |rule: &&mut Rule| {
            rule.count > 0
                && rule.from_time <= now
                && (rule.from, rule.to) == (from, to)
                && datagram.chunks.iter().any(|chunk| kind(chunk) == rule.kind)
        };
        let rule = self.rules.iter_mut().find(matches)?;
        rule.count -= 1;
        Some(rule.fate)
    }

    /// A datagram is sent. Heartbeats are left out: they tell nothing but that all is well.
    pub(crate) fn sent(
        &mut self,
        now: u64,
        from: usize,
        to: usize,
        datagram: &Datagram,
        fate: Option<Fate>,
    ) {
        let told = datagram.chunks.iter();
        let told = told.filter(|chunk| !matches!(kind(chunk), "HEARTBEAT" | "KNOWN"));
        let told: Vec<String> = told.map(describe).collect();
        if told.is_empty() {
            return;
        }
        let arrow = match fate {
            None => "->",
            Some(Fate::Lost) => "-x",
            Some(Fate::Twice) => "=>",
            Some(Fate::Late(_)) => "~>",
        };
        self.line(now, &format!("r{from} {arrow} r{to}  {}", told.join(" | ")));
    }

    /// Something else happens.
    pub(crate) fn line(&mut self, now: u64, what: &str) {
        if now < self.from {
            return;
        }
        let (ms, micros) = (now / MILLISECOND, now / 1_000 % 1_000);
        writeln!(self.trace, "{ms:4}.{micros:03}ms {what}").expect("a string takes it");
    }
}

fn kind(chunk: &Chunk) -> &'static str {
    match chunk {
        Chunk::Data { .. } => "DATA",
        Chunk::Sequence { .. } => "SEQUENCE",
        Chunk::Ack { .. } => "ACK",
        Chunk::Nack { .. } => "NACK",
        Chunk::Heartbeat { .. } => "HEARTBEAT",
        Chunk::NewView { .. } => "NEWVIEW",
        Chunk::Prepare { .. } => "PREPARE",
        Chunk::Promise { .. } => "PROMISE",
        Chunk::Fetch { .. } => "FETCH",
        Chunk::Entry(_) => "ENTRY",
        Chunk::Inquiry { .. } => "INQUIRY",
        Chunk::Summary { .. } => "SUMMARY",
        Chunk::CopyRequest { .. } => "COPYREQUEST",
        Chunk::Copy { .. } => "COPY",
        Chunk::Known { .. } => "KNOWN",
        Chunk::NewDisks { .. } => "NEWDISKS",
        Chunk::Formatted { .. } => "FORMATTED",
        Chunk::Recover => "RECOVER",
        Chunk::Recovery { .. } => "RECOVERY",
    }
}

/// A message as stories name it: incarnations are all the same.
fn message(name: MessageName) -> String {
    format!("{}.{}", name.origin, name.local.0)
}

fn describe(chunk: &Chunk) -> String {
    let what = match chunk {
        Chunk::Data { name, .. } => message(*name),
        Chunk::Sequence { first, names } => {
            let numbered =
                (first.0..).zip(names).map(|(seq, name)| format!("#{seq}={}", message(*name)));
            numbered.collect::<Vec<_>>().join(" ")
        }
        Chunk::Ack { through, reply } => {
            format!("{through}{}", if *reply { " and yours?" } else { "" })
        }
        Chunk::Nack { sequences, messages } => {
            let sequences = sequences.iter().map(|range| format!("{}..={}", range.from, range.to));
            let messages = messages
                .iter()
                .map(|range| format!("{}.{}..={}", range.origin, range.from.0, range.to.0));
            sequences.chain(messages).collect::<Vec<_>>().join(" ")
        }
        Chunk::Heartbeat { .. } | Chunk::Recover => String::new(),
        Chunk::Known { lives } => {
            let known = lives.iter().map(|known| format!("{} {}", known.life.id, known.view));
            known.collect::<Vec<_>>().join(", ")
        }
        Chunk::NewDisks { disks } | Chunk::Formatted { disks } => {
            let known = |disk: &DiskId| if *disk == DiskId(0) { "?" } else { "new" };
            disks.iter().map(known).collect::<Vec<_>>().join(" ")
        }
        Chunk::Recovery { last_view, last, .. } => format!("log to {last} of {last_view}"),
        Chunk::NewView { number, members, start, .. } => {
            let members: Vec<_> = members.iter().map(|member| member.id.to_string()).collect();
            format!("{number} of {} from {start}", members.join(" "))
        }
        Chunk::Prepare { number } => number.to_string(),
        Chunk::Promise { number, log } => {
            format!("{number}, log to {} of {}", log.last, log.last_view)
        }
        Chunk::Fetch { from, to } => format!("{from}..={to}"),
        Chunk::Entry(entry) => match entry.name() {
            Some(name) => format!("{} of {}={}", entry.seq, entry.view, message(name)),
            None => format!("{}={}", entry.seq, entry.view),
        },
        Chunk::Inquiry { from } => format!("from {from}"),
        Chunk::Summary { through, .. } => format!("through {through}"),
        Chunk::CopyRequest { at } | Chunk::Copy { at, .. } => {
            format!("of {}/{} at {}", at.snapshot, at.segment, at.offset)
        }
    };
    format!("{} {what}", kind(chunk))
}

/// The trace that a script gives.
fn play(script: &str, planted: Option<PlantedBug>) -> String {
    let commands: Vec<Vec<&str>> = script
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| line.split_whitespace().collect())
        .collect();
    let number = |word: &str| word.parse::<u64>().unwrap_or_else(|_| panic!("{word} is no number"));
    let time = |word: &str| number(word) * MILLISECOND;
    let replica = |word: &str| number(word.trim_start_matches('r')) as usize;
    let item = |word: &str| word.parse::<i64>().unwrap_or_else(|_| panic!("{word} is no number"));
    let mut story = Story { from: time("900"), ..Story::default() };
    let mut events = Vec::new();
    let (mut replicas, mut until) = (3, 1_000 * MILLISECOND);
    let mut calls = Vec::new();
    for command in &commands {
        match command.as_slice() {
            ["replicas", count] => replicas = number(count) as usize,
            ["call", at, node, action, arguments @ ..] => {
                let argument = |index: usize| item(arguments[index]);
                let action = match *action {
                    "create" => Action::Create { label: argument(0) },
                    "push" => Action::Push { queue: argument(0), item: argument(1) },
                    "pop" => Action::Pop { queue: argument(0) },
                    "top" => Action::Top { queue: argument(0) },
                    "size" => Action::Size { queue: argument(0) },
                    other => panic!("{other} is no operation"),
                };
                calls.push((time(at), replica(node), action));
            }
            [fate @ ("lose" | "twice" | "late"), at, from, to, kind, count, rest @ ..] => {
                let fate = match *fate {
                    "lose" => Fate::Lost,
                    "twice" => Fate::Twice,
                    _ => Fate::Late(time(rest[0])),
                };
                let (from_time, kind) = (time(at), (*kind).to_owned());
                let (from, to, count) = (replica(from), replica(to), number(count) as usize);
                story.rules.push(Rule { from_time, from, to, kind, count, fate });
            }
            ["pause", at, node, duration] => {
                events.push((time(at), Told::Pause(replica(node), time(duration))));
            }
            ["crash", at, node] => events.push((time(at), Told::Crash(replica(node)))),
            ["restart", at, node] => events.push((time(at), Told::Restart(replica(node)))),
            ["leave", at, node] => events.push((time(at), Told::Leave(replica(node)))),
            ["wipe", at, node] => {
                events.push((time(at), Told::LoseDisk(replica(node), Loss::Wiped)));
            }
            ["sync", at, node, duration] => {
                events.push((time(at), Told::Sync(replica(node), time(duration))));
            }
            ["hang", at, node] => events.push((time(at), Told::Hang(replica(node)))),
            ["copy", at, node] => events.push((time(at), Told::CopyDisk(replica(node)))),
            ["put-back", at, node] => {
                events.push((time(at), Told::LoseDisk(replica(node), Loss::OldCopy)));
            }
            ["cut", at, from, to] => {
                events.push((time(at), Told::Cut(replica(from), replica(to))));
            }
            ["answered", at] => events.push((time(at), Told::Answered)),
            ["members", at, count] => {
                events.push((time(at), Told::Members(number(count) as usize)));
            }
            ["heal", at] => events.push((time(at), Told::Heal)),
            ["from", at] => story.from = time(at),
            ["until", at] => until = time(at),
            other => panic!("no command: {other:?}"),
        }
    }
    let mut world = World::new(Options::quiet(replicas), planted);
    world.tell(story, calls, events);
    world.run_until(until).trace
}

fn paths() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sim/stories");
    let stories = std::fs::read_dir(folder).expect("the stories");
    let mut paths: Vec<_> = stories.map(|entry| entry.expect("a story").path()).collect();
    paths.sort();
    assert!(paths.len() >= 10, "the stories are there");
    paths
}

/// The story in which a check catches a planted bug, and what it said; that the story merely goes otherwise counts for
/// nothing.
#[cfg(feature = "planted-bugs")]
pub(crate) fn caught_by_story(bug: PlantedBug) -> Option<(String, String)> {
    paths().into_iter().find_map(|path| {
        let text = std::fs::read_to_string(&path).expect("a story");
        let (script, _) = text.split_once("---\n").expect("a script and its trace");
        let said = crate::hunt::panic_of(|| play(script, Some(bug))).err()?;
        Some((path.file_stem()?.to_string_lossy().into_owned(), said))
    })
}

#[test]
fn stories() {
    let mut changed = Vec::new();
    for path in paths() {
        let text = std::fs::read_to_string(&path).expect("a story");
        let (script, golden) = text.split_once("---\n").expect("a script and its trace");
        let trace = play(script, None);
        if trace != golden {
            if std::env::var_os("UPDATE").is_some() {
                std::fs::write(&path, format!("{script}---\n{trace}")).expect("a story to update");
            }
            changed.push(format!("{}:\n{trace}", path.display()));
        }
    }
    let changed = changed.join("\n");
    assert!(changed.is_empty(), "these stories go otherwise (UPDATE=1 keeps it so):\n{changed}");
}
