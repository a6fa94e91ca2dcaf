//! One line of the shell.

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::cli::call::Call;
use crate::client::Endpoint;

/// What a line asks for.
#[derive(Subcommand, Debug)]
pub(super) enum Line {
    #[command(flatten)]
    Call(Call<NothingFurther>),

    /// Call this replica from now on; without one, all again
    Use {
        /// The replica, as HOST:PORT
        #[arg(value_name = "HOST:PORT")]
        endpoint: Option<Endpoint>,
    },

    /// Leave the shell, as Ctrl-D does
    #[command(visible_alias = "exit")]
    Quit,
}

/// A call at the prompt has no arguments but its own.
#[derive(Args, Debug)]
pub(super) struct NothingFurther {}

/// A line that is no command: a request for help, or a mistake.
#[derive(Debug)]
pub(super) struct NotACommand {
    /// Whether help was asked for.
    pub help: bool,
    /// The help, or what is wrong; ends with a line feed.
    pub text: String,
}

#[derive(Parser, Debug)]
#[command(multicall = true, about = "Calls to the cluster, and what else a line may be")]
struct Prompt {
    #[command(subcommand)]
    line: Line,
}

/// Reads a line; gives nothing for an empty one and for a comment.
///
/// # Errors
/// [`NotACommand`].
pub(super) fn parse(text: &str) -> Result<Option<Line>, NotACommand> {
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let parsed = prompt().try_get_matches_from(text.split_whitespace());
    let parsed = parsed.and_then(|matches| Prompt::from_arg_matches(&matches));
    parsed.map(|prompt| Some(prompt.line)).map_err(|error| NotACommand {
        help: matches!(
            error.kind(),
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        ),
        text: error.render().to_string(),
    })
}

/// The commands' names, for completion.
pub(super) fn names() -> Vec<String> {
    let names = |command: &clap::Command| {
        command.get_name_and_visible_aliases().into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut names: Vec<_> = prompt().get_subcommands().flat_map(names).collect();
    names.push("help".to_owned());
    names
}

/// The prompt's commands. The examples of the command line's help would mislead here.
fn prompt() -> clap::Command {
    Prompt::command().mut_subcommands(|command| command.after_help(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        prompt().debug_assert();
    }

    #[test]
    fn empty_lines_and_comments_are_nothing() {
        for nothing in ["", "  ", "\t", "# push 1 2"] {
            assert!(parse(nothing).unwrap().is_none(), "{nothing:?}");
        }
    }

    #[test]
    fn every_name_is_a_command() {
        let names = names();
        assert_eq!(
            names,
            [
                "create", "destroy", "id", "push", "pop", "top", "size", "use", "quit", "exit",
                "help"
            ]
        );
        for name in names {
            if let Err(NotACommand { text, .. }) = parse(&name) {
                assert!(!text.contains("unrecognized"), "{name}: {text}");
            }
        }
    }
}
