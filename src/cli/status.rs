//! `ftqueue status`: how all replicas are, as they say themselves.

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tonic::Request;

use super::exit::Exit;
use crate::client::{Endpoint, connect};
use crate::proto::ft_queue_admin_client::FtQueueAdminClient;
use crate::proto::{StatusRequest, StatusResponse};

/// How long a replica has to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The arguments of `status`.
#[derive(Args, Debug)]
#[command(after_help = "\
Asks every replica how it is, and prints a line for each; then why one does not serve, and whom it suspects. \
Exits with 0 if a majority of those asked serves, with 1 otherwise.

Examples:
  ftqueue status
  ftqueue status --endpoints q0:7001,q1:7001,q2:7001 --json")]
pub(crate) struct StatusArguments {
    /// The replicas, as HOST:PORT
    #[arg(
        long,
        env = "FTQUEUE_ENDPOINTS",
        value_name = "HOST:PORT,…",
        value_delimiter = ',',
        default_value = "127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003"
    )]
    endpoints: Vec<Endpoint>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What came of asking a replica.
type Answer = (Endpoint, Result<StatusResponse, String>);

/// Runs the command.
///
/// # Errors
/// When its output cannot be written.
pub(crate) async fn run(arguments: StatusArguments) -> io::Result<Exit> {
    let answers = ask_all(arguments.endpoints).await;
    let serving = answers.iter().filter(|(_, answer)| serves(answer)).count();
    let majority = serving > answers.len() / 2;
    let mut out = io::stdout().lock();
    if arguments.json {
        let replicas: Vec<_> = answers.iter().map(object).collect();
        writeln!(out, "{}", json!({ "majority_serves": majority, "replicas": replicas }))?;
    } else {
        writeln!(out, "{}", table(&answers))?;
        for line in answers.iter().flat_map(remarks) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(if majority { Exit::Ok } else { Exit::Refused })
}

fn serves(answer: &Result<StatusResponse, String>) -> bool {
    answer.as_ref().is_ok_and(|status| status.serving)
}

/// Asks all at once; the answers are in the order of the endpoints.
async fn ask_all(endpoints: Vec<Endpoint>) -> Vec<Answer> {
    let mut asked = JoinSet::new();
    for (place, endpoint) in endpoints.into_iter().enumerate() {
        asked.spawn(async move {
            let answer = match tokio::time::timeout(PATIENCE, ask(&endpoint)).await {
                Ok(answer) => answer,
                Err(_) => Err("no answer in time".to_owned()),
            };
            (place, (endpoint, answer))
        });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

async fn ask(endpoint: &Endpoint) -> Result<StatusResponse, String> {
    let channel = connect(endpoint, PATIENCE).await.map_err(|failure| failure.message)?;
    let answer = FtQueueAdminClient::new(channel).status(Request::new(StatusRequest {})).await;
    answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
}

fn table(answers: &[Answer]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "endpoint",
        "replica",
        "incarnation",
        "status",
        "view",
        "members",
        "delivered",
        "committed",
        "durable",
        "sequence",
        "durability",
        "serving",
    ]);
    for (endpoint, answer) in answers {
        let row = match answer {
            Ok(status) => vec![
                endpoint.to_string(),
                status.replica.to_string(),
                status.incarnation.to_string(),
                format!("{} ({})", status.status, seconds(status.status_ms)),
                status.view.as_ref().map_or_else(|| "-".to_owned(), |view| view.number.clone()),
                members(status),
                status.delivered.to_string(),
                status.committed.to_string(),
                status.durable.to_string(),
                status.sequence.to_string(),
                status.durability.clone(),
                if status.serving { "yes" } else { "no" }.to_owned(),
            ],
            Err(_) => {
                vec![endpoint.to_string(), "?".to_owned(), "?".to_owned(), "not reached".to_owned()]
            }
        };
        table.add_row(row);
    }
    table
}

fn members(status: &StatusResponse) -> String {
    let members = status.view.iter().flat_map(|view| &view.members);
    let ids: Vec<_> = members.map(|member| member.replica.to_string()).collect();
    if ids.is_empty() { "-".to_owned() } else { ids.join(" ") }
}

/// Why a replica does not serve, and whom it suspects.
fn remarks((endpoint, answer): &Answer) -> Vec<String> {
    let status = match answer {
        Err(why) => return vec![format!("{endpoint} was not reached: {why}")],
        Ok(status) => status,
    };
    let mut remarks = Vec::new();
    if !status.serving {
        let since = seconds(status.serving_ms);
        remarks.push(format!("{endpoint} has not served for {since}: {}", status.why_not));
    }
    for peer in status.peers.iter().filter(|peer| !peer.suspected.is_empty()) {
        remarks.push(format!("{endpoint} suspects replica {}: {}", peer.replica, peer.suspected));
    }
    remarks
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}

fn object((endpoint, answer): &Answer) -> Value {
    let status = match answer {
        Err(why) => return json!({ "endpoint": endpoint.to_string(), "error": why }),
        Ok(status) => status,
    };
    let view = status.view.as_ref().map(|view| {
        let member = |member: &crate::proto::Member| {
            json!({ "replica": member.replica, "incarnation": member.incarnation })
        };
        let members: Vec<_> = view.members.iter().map(member).collect();
        json!({ "number": view.number, "members": members, "start": view.start })
    });
    let peer = |peer: &crate::proto::Peer| {
        json!({
            "replica": peer.replica,
            "incarnation": peer.incarnation,
            "unheard_ms": peer.unheard_ms,
            "hears": peer.hears,
            "suspected": peer.suspected,
            "delivered": peer.delivered,
            "round_trip_us": peer.round_trip_us,
        })
    };
    json!({
        "endpoint": endpoint.to_string(),
        "replica": status.replica,
        "incarnation": status.incarnation,
        "status": status.status,
        "status_ms": status.status_ms,
        "view": view,
        "promised": status.promised,
        "serving": status.serving,
        "why_not": status.why_not,
        "serving_ms": status.serving_ms,
        "delivered": status.delivered,
        "committed": status.committed,
        "durable": status.durable,
        "ordered": status.ordered,
        "sequence": status.sequence,
        "open_calls": status.open_calls,
        "durability": status.durability,
        "peers": status.peers.iter().map(peer).collect::<Vec<_>>(),
    })
}
