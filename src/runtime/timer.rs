//! The one timer of the event loop. Tokio's own timers count in milliseconds, which is ten round trips of the ring.

#[cfg(target_os = "linux")]
pub(crate) use linux::Timer;
#[cfg(not(target_os = "linux"))]
pub(crate) use portable::Timer;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use crate::types::Instant;

    /// A kernel timer that the runtime waits for as it waits for sockets.
    pub(crate) struct Timer {
        descriptor: AsyncFd<OwnedFd>,
        /// The point for which it is armed; none once that was told by `expired`.
        armed: Option<Instant>,
    }

    impl Timer {
        /// A timer that is not armed.
        ///
        /// # Errors
        /// When the system has no descriptor left.
        pub(crate) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            #[expect(
                deprecated,
                reason = "its successor is unsafe; an OwnedFd keeps what that asks for"
            )]
            let descriptor = AsyncFd::new(descriptor)?;
            Ok(Self { descriptor, armed: None })
        }

        /// Makes [`expired`](Self::expired) come at `deadline` or before.
        ///
        /// Before: a timer that is armed for an earlier point stays so. Waking for nothing now and then costs less
        /// than a system call for each operation that moves the deadline on.
        ///
        /// # Errors
        /// None are known to happen.
        pub(crate) fn set(&mut self, now: Instant, deadline: Instant) -> io::Result<()> {
            if self.armed.is_some_and(|armed| armed <= deadline) {
                return Ok(());
            }
            // Zero would disarm it.
            let wait = deadline.since(now).max(Duration::from_nanos(1));
            let spec = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                },
            };
            timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
            self.armed = Some(deadline);
            Ok(())
        }

        /// Waits for the point that was set. May be dropped while it waits.
        ///
        /// # Errors
        /// None are known to happen.
        pub(crate) async fn expired(&mut self) -> io::Result<()> {
            loop {
                let mut ready = self.descriptor.readable().await?;
                let mut expirations = [0; 8];
                let read = ready.try_io(|descriptor| {
                    Ok(rustix::io::read(descriptor.get_ref(), &mut expirations)?)
                });
                if let Ok(result) = read {
                    // It is read out; looking again would say so for the price of a system call.
                    ready.clear_ready();
                    self.armed = None;
                    return result.map(|_bytes| ());
                }
            }
        }
    }
}

#[cfg_attr(target_os = "linux", cfg(test))]
mod portable {
    use std::io;
    use std::time::Duration;

    use crate::types::Instant;

    /// Tokio's timer: a millisecond is its finest.
    pub(crate) struct Timer {
        armed: Option<(Instant, tokio::time::Instant)>,
    }

    impl Timer {
        /// A timer that is not armed.
        ///
        /// # Errors
        /// None.
        pub(crate) fn new() -> io::Result<Self> {
            Ok(Self { armed: None })
        }

        /// Makes [`expired`](Self::expired) come at `deadline`, or before if it is armed for an earlier point.
        ///
        /// # Errors
        /// None.
        pub(crate) fn set(&mut self, now: Instant, deadline: Instant) -> io::Result<()> {
            if self.armed.is_none_or(|(armed, _)| armed > deadline) {
                // Tokio cannot add centuries.
                let wait = deadline.since(now).min(Duration::from_secs(3_600));
                self.armed = Some((deadline, tokio::time::Instant::now() + wait));
            }
            Ok(())
        }

        /// Waits for the point that was set. May be dropped while it waits.
        ///
        /// # Errors
        /// None.
        pub(crate) async fn expired(&mut self) -> io::Result<()> {
            match self.armed {
                Some((_, at)) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
            self.armed = None;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::clock::Clock;

    /// Both timers keep the same contract.
    macro_rules! contract {
        ($name:ident, $timer:ty) => {
            #[tokio::test]
            async fn $name() {
                let clock = Clock::start();
                let mut timer = <$timer>::new().unwrap();

                let deadline = clock.now() + Duration::from_millis(5);
                timer.set(clock.now(), deadline).unwrap();
                timer.expired().await.unwrap();
                assert!(clock.now() >= deadline, "it came early though nothing earlier was set");

                // A later deadline does not replace an earlier one; an earlier one replaces a later one.
                let now = clock.now();
                timer.set(now, now + Duration::from_secs(600)).unwrap();
                timer.set(now, now + Duration::from_millis(5)).unwrap();
                timer.set(now, now + Duration::from_secs(600)).unwrap();
                timer.expired().await.unwrap();
                assert!(clock.now().since(now) < Duration::from_secs(60));

                // A point that has passed comes at once.
                let now = clock.now();
                timer.set(now, now).unwrap();
                timer.expired().await.unwrap();
            }
        };
    }

    contract!(portable_timer, super::portable::Timer);
    #[cfg(target_os = "linux")]
    contract!(linux_timer, super::linux::Timer);

    /// The reason for a timer of our own.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_linux_timer_is_finer_than_a_millisecond() {
        let clock = Clock::start();
        let mut timer = super::linux::Timer::new().unwrap();
        let mut shortest = Duration::MAX;
        // The shortest of many: the machine may be busy.
        for _ in 0..50 {
            let now = clock.now();
            timer.set(now, now + Duration::from_micros(100)).unwrap();
            timer.expired().await.unwrap();
            shortest = shortest.min(clock.now().since(now));
        }
        assert!(shortest >= Duration::from_micros(100), "{shortest:?}");
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }
}
