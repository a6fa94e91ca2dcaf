//! Structs of plain counts, each with its name: for logs, metrics, and the simulator's probes.

/// Makes a struct of counts from their documented names.
macro_rules! counters {
    ($visible:vis struct $of:ident { $($(#[$doc:meta])* $name:ident,)* }) => {
        /// Plain counts since the start: they never go down.
        #[derive(Clone, PartialEq, Eq, Debug, Default)]
        $visible struct $of {
            $($(#[$doc])* $visible $name: u64,)*
        }

        impl $of {
            /// Every count with its name.
            $visible fn each(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}
pub(crate) use counters;
