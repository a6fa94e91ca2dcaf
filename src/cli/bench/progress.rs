//! The bar that shows a person that something is going on.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::interrupt::Interrupt;

/// A progress bar on standard error; nothing where that is no terminal.
pub(super) struct Progress {
    bar: ProgressBar,
}

/// How often the bar is drawn: smooth enough, and no load of its own.
const TICK: Duration = Duration::from_millis(200);

impl Progress {
    /// A bar for a terminal.
    pub(super) fn visible(total: Duration) -> Self {
        let bar = ProgressBar::new(milliseconds(total));
        let style = ProgressStyle::with_template("{prefix} [{bar:40}] {percent}%  {msg}");
        Self { bar: bar.with_style(style.expect("the template is sound").progress_chars("=> ")) }
    }

    /// None.
    pub(super) fn hidden() -> Self {
        Self { bar: ProgressBar::hidden() }
    }

    /// Lets time pass, drawing how much has and how many operations `answered` counts; says whether it was
    /// interrupted.
    pub(super) async fn pass(
        &self,
        doing: &'static str,
        time: Duration,
        answered: impl Fn() -> u64,
        interrupt: &mut Interrupt,
    ) -> bool {
        self.bar.set_prefix(doing);
        let (begin, before) = (Instant::now(), self.bar.position());
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let drawing = async {
            loop {
                ticks.tick().await;
                let passed = begin.elapsed();
                self.bar.set_position(before + milliseconds(passed.min(time)));
                let per_second = answered() as f64 / passed.as_secs_f64().max(f64::MIN_POSITIVE);
                if answered() > 0 {
                    self.bar.set_message(format!("{per_second:.0} operations/s"));
                }
            }
        };
        tokio::select! {
            () = drawing => unreachable!("drawing goes on for ever"),
            () = tokio::time::sleep(time) => false,
            () = interrupt.wait() => true,
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
