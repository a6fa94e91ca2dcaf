//! The metrics: their names, and what they say of one moment.

use std::fmt;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use crate::runtime::{Counters, Durability, PeerReport, Readiness, Report};

/// What is known at one moment.
#[derive(Clone, Debug)]
pub(super) struct Scrape {
    pub(super) report: Report,
    pub(super) counters: Counters,
    pub(super) durability: Durability,
}

impl Scrape {
    /// The page in OpenMetrics' text format.
    ///
    /// # Errors
    /// None that a string has.
    pub(super) fn page(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("ftqueue");
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        encode(&mut page, &registry)?;
        Ok(page)
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        self.of_replica(&mut families)?;
        self.of_progress(&mut families)?;
        self.of_peers(&mut families)?;
        let ring = self.report.counters.each();
        ring.map(|(name, count)| ("ring", name, count))
            .chain(self.counters.each().map(|(name, count)| ("runtime", name, count)))
            .try_for_each(|(of, name, count)| families.counter(&format!("{of}_{name}"), count))
    }
}

impl Scrape {
    fn of_replica(&self, families: &mut Families<'_>) -> fmt::Result {
        let report = &self.report;
        let serving = i64::from(report.readiness == Readiness::Ready);
        families.gauge("serving", "Whether calls can be answered: 1 or 0", serving)?;
        let since = report.readiness_for;
        families.seconds("serving_since", "How long that has been so", since)?;
        let is = |name: &'static str| [(name.to_owned(), 1)];
        let status = "What the replica is doing, as `ftqueue status` says it";
        families.gauges("status", status, "status", &is(report.status))?;
        families.seconds("status_since", "How long it has been that", report.status_for)?;
        let disk = "What the replica's disk is good for: empty, new, sound, lost or accepted";
        families.gauges("disk", disk, "state", &is(report.disk.name()))?;
        let durability = [(self.durability.to_string(), 1)];
        let help =
            "When a write counts as durable: fsync, or async, which a loss of power can take back";
        families.gauges("durability", help, "durability", &durability)?;
        let members = report.view.as_ref().map_or(0, |view| view.members.len());
        families.gauge("view_members", "Members of the view; 0 in none", whole(members as u64))?;
        let round = report.view.as_ref().map_or(0, |view| view.number.round);
        families.gauge("view_round", "The round of the view's number; 0 in none", whole(round))?;
        let round = report.promised.round;
        families.gauge("promised_round", "The round of the highest promise", whole(round))?;
        let open = whole(report.open_calls as u64);
        families.gauge("open_calls", "Calls that are not answered yet", open)
    }

    fn of_progress(&self, families: &mut Families<'_>) -> fmt::Result {
        let marks = &self.report.marks;
        let marks = [
            ("delivered", marks.delivered),
            ("committed", marks.committed),
            ("durable", marks.durable),
            ("ordered", marks.ordered),
            ("highest", marks.highest),
            ("held_by_members", marks.held_by_members),
            ("trimmed", marks.trimmed),
        ];
        let marks = marks.map(|(mark, through)| (mark.to_owned(), whole(through.0)));
        families.gauges(
            "log",
            "How far the log goes, by entries, in which sense",
            "mark",
            &marks,
        )?;
        let sequence = whole(self.report.sequence);
        families.gauge("sequence", "The sequence of the last executed operation", sequence)?;
        let copied = whole(self.report.copied.unwrap_or(0));
        let help = "What has come of a copy of a member's storage; 0 where nothing is copied";
        families.gauge("copied_bytes", help, copied)
    }

    fn of_peers(&self, families: &mut Families<'_>) -> fmt::Result {
        let peers = &self.report.peers;
        let of = |what: &dyn Fn(&PeerReport) -> i64| -> Vec<_> {
            peers.iter().map(|peer| (peer.id.0.to_string(), what(peer))).collect()
        };
        let suspected = of(&|peer| i64::from(peer.suspected.is_some()));
        families.gauges(
            "peer_suspected",
            "Whether another replica is suspected",
            "peer",
            &suspected,
        )?;
        let delivered = of(&|peer| whole(peer.delivered.0));
        let help = "How far another replica says it has delivered, by entries";
        families.gauges("peer_delivered", help, "peer", &delivered)?;
        let names: Vec<_> = peers.iter().map(|peer| peer.id.0.to_string()).collect();
        let named = || names.iter().map(String::as_str).zip(peers);
        let round_trips: Vec<_> = named().map(|(name, peer)| (name, peer.round_trip)).collect();
        families.seconds_of_peers(
            "peer_round_trip",
            "The round trip to another replica",
            &round_trips,
        )?;
        let unheard: Vec<_> =
            named().filter_map(|(name, peer)| Some((name, peer.unheard_for?))).collect();
        let help = "How long ago another replica was heard; none that never was";
        families.seconds_of_peers("peer_unheard", help, &unheard)
    }
}

/// Who writes metric families down.
struct Families<'a>(DescriptorEncoder<'a>);

impl Families<'_> {
    fn gauge(&mut self, name: &str, help: &str, value: i64) -> fmt::Result {
        let family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(family)
    }

    /// A gauge with one label.
    fn gauges(
        &mut self,
        name: &str,
        help: &str,
        label: &'static str,
        values: &[(String, i64)],
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        values.iter().try_for_each(|(value_of, value)| {
            let labels = [(label, value_of.as_str())];
            ConstGauge::new(*value).encode(family.encode_family(&labels)?)
        })
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        ConstGauge::new(value.as_secs_f64()).encode(family)
    }

    fn seconds_of_peers(
        &mut self,
        name: &str,
        help: &str,
        values: &[(&str, Duration)],
    ) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        values.iter().try_for_each(|(peer, value)| {
            let labels = [("peer", *peer)];
            ConstGauge::new(value.as_secs_f64()).encode(family.encode_family(&labels)?)
        })
    }

    fn counter(&mut self, name: &str, count: u64) -> fmt::Result {
        let help = name.replace('_', " ");
        let family = self.0.encode_descriptor(name, &help, None, MetricType::Counter)?;
        ConstCounter::new(count).encode(family)
    }
}

/// A count as gauges take it.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
