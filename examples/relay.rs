//! A relay for replicas that were started by hand: `cargo run --example relay -- --help`.

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../tests/sim/random.rs"]
mod random;
#[path = "../tests/lossy/relay.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod relay;

use std::io;
use std::net::SocketAddr;

use clap::Parser;

use crate::relay::{Faults, Relay};

/// Passes datagrams between replicas on this machine, and does to them what bad networks do.
///
/// Prints each replica's `--cluster` list. Then takes commands, a line each: `cut FROM TO`, `mend FROM TO`, `heal`,
/// `counts`; ends with its input.
#[derive(Parser)]
struct Arguments {
    /// Where the replicas' rings listen, by id
    #[arg(required = true, value_name = "ADDRESS")]
    rings: Vec<SocketAddr>,
    /// The same seed does the same to the k-th datagram of a direction
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many of a thousand are lost
    #[arg(long, default_value_t = 0)]
    loss: u64,
    /// How many of a thousand begin a burst, in which half are lost
    #[arg(long, default_value_t = 0)]
    burst: u64,
    /// How many of a thousand come twice
    #[arg(long, default_value_t = 0)]
    duplicate: u64,
    /// How many of a thousand have other bytes
    #[arg(long, default_value_t = 0)]
    corrupt: u64,
    /// How many of a thousand bring one of the past along
    #[arg(long, default_value_t = 0)]
    replay: u64,
    /// How many of a thousand are held up, by up to --held-up
    #[arg(long, default_value_t = 0)]
    reorder: u64,
    /// In microseconds
    #[arg(long, default_value_t = 3_000)]
    held_up: u64,
    /// How much later all come at least, in microseconds
    #[arg(long, default_value_t = 0)]
    delay_least: u64,
    /// How much later they come at most, in microseconds
    #[arg(long, default_value_t = 0)]
    delay_most: u64,
}

fn main() -> io::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { loss, burst, duplicate, corrupt, replay, reorder, held_up, .. } = arguments;
    let delay = (arguments.delay_least, arguments.delay_most.max(arguments.delay_least));
    let faults = Faults { loss, burst, duplicate, corrupt, replay, reorder, held_up, delay };
    let relay = Relay::start(&arguments.rings, faults, arguments.seed)?;
    for (id, ring) in arguments.rings.iter().enumerate() {
        println!("replica {id}: --cluster {}", relay.members(id, *ring));
    }
    for line in io::stdin().lines() {
        let line = line?;
        let numbers: Vec<usize> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match (line.split_whitespace().next(), numbers.as_slice()) {
            (Some("cut"), [from, to]) => relay.cut(*from, *to, true),
            (Some("mend"), [from, to]) => relay.cut(*from, *to, false),
            (Some("heal"), []) => relay.heal(),
            (Some("counts"), []) => tell(&relay),
            _ => println!("cut FROM TO | mend FROM TO | heal | counts"),
        }
    }
    tell(&relay);
    Ok(())
}

fn tell(relay: &Relay) {
    for (from, to, counts) in relay.counts() {
        println!("r{from} -> r{to}: {counts:?}");
    }
}
