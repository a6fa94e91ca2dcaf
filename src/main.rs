//! The `ftqueue` command.

fn main() -> std::process::ExitCode {
    ftqueue::cli::run()
}
