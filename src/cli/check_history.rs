//! `ftqueue check-history`: whether what callers were answered can be the answers of a correct service.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::complain;
use super::exit::Exit;
use crate::history::{Call, Class, Findings, patterns, read, witness};

/// The arguments of `check-history`.
#[derive(Args, Debug)]
#[command(after_help = "\
Two checks are made. The witness check replays the calls in the order of their sequences and \
compares every answer, and the order with real time. The pattern check trusts no sequence: it looks \
for items that nobody pushed, that came twice or in the wrong order, and for queues that cannot have \
been empty; it needs items that are distinct within their queue.

Exits with 0 only if nothing is lost, duplicated, unexpected, reordered or stale. HISTORIES.md has \
the form of the file and what each word means.

Examples:
  ftqueue bench --history history.jsonl && ftqueue check-history history.jsonl
  my-client | ftqueue check-history -")]
pub(crate) struct CheckHistoryArguments {
    /// The history, a call a line; `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Others called too, and their calls are not in the file: check only sequences and real time
    #[arg(long)]
    partial: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What the checks came to.
#[derive(Serialize)]
struct Verdict<'a> {
    calls: usize,
    /// Of those: how many are known to be executed, not to be, and neither.
    executed: usize,
    not_executed: usize,
    unknown: usize,
    checks: Vec<CheckVerdict<'a>>,
}

/// What one check found.
#[derive(Serialize)]
struct CheckVerdict<'a> {
    check: &'static str,
    lost: usize,
    duplicated: usize,
    unexpected: usize,
    reordered: usize,
    stale: usize,
    /// Calls that were left out.
    unchecked: usize,
    findings: Vec<FindingRecord<'a>>,
}

#[derive(Serialize)]
struct FindingRecord<'a> {
    class: &'static str,
    /// The calls that show it, by line.
    lines: Vec<usize>,
    what: &'a str,
}

/// Runs the command.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn run(arguments: &CheckHistoryArguments) -> io::Result<Exit> {
    let calls = match open_and_read(&arguments.file) {
        Ok(calls) => calls,
        Err(why) => {
            complain(&format!("{}: {why}", arguments.file.display()));
            return Ok(Exit::Usage);
        }
    };
    if calls.is_empty() {
        complain(&format!("{}: no calls, so there is nothing to say", arguments.file.display()));
        return Ok(Exit::Usage);
    }
    let mut checks = vec![("witness", witness(&calls, arguments.partial))];
    if !arguments.partial {
        checks.push(("patterns", patterns(&calls)));
    }
    let right = checks.iter().all(|(_, findings)| findings.is_empty());
    let verdict = Verdict::new(&calls, &checks);
    let text =
        if arguments.json { serde_json::to_string(&verdict)? } else { verdict.text(&checks) };
    writeln!(io::stdout(), "{text}")?;
    Ok(if right { Exit::Ok } else { Exit::Refused })
}

fn open_and_read(file: &Path) -> Result<Vec<Call>, String> {
    if file == Path::new("-") {
        return read(io::stdin().lock());
    }
    read(BufReader::new(File::open(file).map_err(|error| error.to_string())?))
}

impl<'a> Verdict<'a> {
    fn new(calls: &[Call], checks: &'a [(&'static str, Findings)]) -> Self {
        let unknown = calls.iter().filter(|call| call.is_unknown()).count();
        let executed = calls.iter().filter(|call| call.is_executed()).count();
        Self {
            calls: calls.len(),
            executed,
            not_executed: calls.len() - executed - unknown,
            unknown,
            checks: checks.iter().map(|(name, findings)| verdict(name, findings)).collect(),
        }
    }

    fn text(&self, checks: &[(&'static str, Findings)]) -> String {
        let mut lines = vec![format!(
            "{} calls: {} executed, {} not executed, {} unknown",
            self.calls, self.executed, self.not_executed, self.unknown
        )];
        for (check, (_, findings)) in self.checks.iter().zip(checks) {
            let left_out = match check.unchecked {
                0 => String::new(),
                count => format!("; {count} calls are left out"),
            };
            lines.push(format!("{}: {findings}{left_out}", check.check));
            for finding in &check.findings {
                let places: Vec<String> = finding.lines.iter().map(usize::to_string).collect();
                lines.push(format!(
                    "  {}: {} (lines {})",
                    finding.class,
                    finding.what,
                    places.join(", ")
                ));
            }
        }
        lines.join("\n")
    }
}

fn verdict<'a>(check: &'static str, findings: &'a Findings) -> CheckVerdict<'a> {
    CheckVerdict {
        check,
        lost: findings.count(Class::Lost),
        duplicated: findings.count(Class::Duplicated),
        unexpected: findings.count(Class::Unexpected),
        reordered: findings.count(Class::Reordered),
        stale: findings.count(Class::Stale),
        unchecked: findings.unchecked,
        findings: findings
            .each()
            .map(|finding| FindingRecord {
                class: finding.class.name(),
                lines: finding.calls.iter().map(|index| index + 1).collect(),
                what: &finding.what,
            })
            .collect(),
    }
}
