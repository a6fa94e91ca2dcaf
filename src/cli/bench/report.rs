//! A load's figures, for people and for machines.

use std::path::Path;

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::measure::{OperationSummary, Summary};
use super::mix::Mix;
use super::plan::Load;

/// All that came of a run.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(flatten)]
    pub summary: &'a Summary,
    /// Whether a person ended the run early.
    pub interrupted: bool,
    /// The same load on bare gRPC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo: Option<&'a Summary>,
    /// Operations per second here by those there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio_to_echo: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryReport<'a>>,
    pub settings: Settings,
}

/// What became of the history.
#[derive(Serialize)]
pub(super) struct HistoryReport<'a> {
    pub file: &'a Path,
    pub calls: u64,
    pub complete: bool,
}

/// What the run was asked to do.
#[derive(Serialize)]
pub(super) struct Settings {
    clients: u32,
    connections_per_endpoint: u32,
    duration_seconds: f64,
    endpoints: Vec<String>,
    mix: Mix,
    queues: u32,
    timeout_seconds: f64,
    warmup_seconds: f64,
}

impl Settings {
    pub(super) fn of(load: &Load) -> Self {
        Self {
            clients: load.clients,
            connections_per_endpoint: load.connections_per_endpoint(),
            duration_seconds: load.duration.as_secs_f64(),
            endpoints: load.endpoints.iter().map(ToString::to_string).collect(),
            mix: load.mix,
            queues: load.queues,
            timeout_seconds: load.timeout.as_secs_f64(),
            warmup_seconds: load.warmup.as_secs_f64(),
        }
    }
}

impl Report<'_> {
    /// One object.
    ///
    /// # Errors
    /// When a path in it is no text.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// A table, and what else there is to say.
    pub(super) fn text(&self) -> String {
        let Settings { clients, mix, queues, endpoints, .. } = &self.settings;
        let mut lines = vec![format!(
            "{clients} clients, {queues} queues, {mix}, {} endpoints, measured for {:.1} s{}",
            endpoints.len(),
            self.summary.measured_seconds,
            if self.interrupted { " (interrupted)" } else { "" }
        )];
        lines.push(table(self.summary));
        if let (Some(echo), Some(ratio)) = (self.echo, self.ratio_to_echo) {
            lines.push("the same load on a bare gRPC echo".to_owned());
            lines.push(table(echo));
            lines.push(format!("{ratio:.3} of the echo's operations per second"));
        }
        if let Some(HistoryReport { file, calls, complete: true }) = &self.history {
            lines.push(format!("history: {calls} calls in {}", file.display()));
        }
        lines.join("\n")
    }
}

fn table(summary: &Summary) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(["operation", "calls", "per second", "p50", "p90", "p99", "p99.9", "max"]);
    table.add_row(row("all", &summary.all));
    if summary.by_operation.len() > 1 {
        summary.by_operation.iter().for_each(|(op, figures)| {
            table.add_row(row(op, figures));
        });
    }
    table
        .column_iter_mut()
        .skip(1)
        .for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    let errors =
        summary.errors.iter().map(|(reason, count)| format!("\nfailed: {count} calls, {reason}"));
    format!("{table}{}", errors.collect::<String>())
}

fn row(op: &str, figures: &OperationSummary) -> [String; 8] {
    let latency = figures.latency;
    let times = [latency.p50_us, latency.p90_us, latency.p99_us, latency.p999_us, latency.max_us];
    let [p50, p90, p99, p999, max] =
        times.map(|microseconds| format!("{:.3} ms", microseconds / 1_000.0));
    let per_second = format!("{:.0}", figures.ops_per_second);
    [op.to_owned(), figures.operations.to_string(), per_second, p50, p90, p99, p999, max]
}
