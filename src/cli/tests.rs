use clap::CommandFactory as _;

use super::*;
use crate::queue::{Action, RequestName};

/// Every command that a user sees.
fn commands() -> Vec<clap::Command> {
    let mut cli = Cli::command();
    cli.build();
    let shown = |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    cli.get_subcommands().filter(shown).cloned().collect()
}

#[test]
fn the_arguments_are_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_flag_is_an_environment_variable() {
    for command in commands() {
        for flag in command.get_opts().filter(|flag| !flag.is_hide_set()) {
            let name = format!("{} --{}", command.get_name(), flag.get_long().unwrap_or_default());
            // A request's name is no setting: left in the environment it would make every call the same request.
            // Nor is an operator's word.
            if ["help", "version", "client", "number", "accept_loss"]
                .contains(&flag.get_id().as_str())
            {
                continue;
            }
            let variable = flag.get_env().unwrap_or_else(|| panic!("{name} has no variable"));
            assert!(variable.to_str().unwrap().starts_with("FTQUEUE_"), "{name}: {variable:?}");
        }
    }
}

#[test]
fn every_help_says_what_each_argument_is_and_has_an_example() {
    for mut command in commands() {
        let name = command.get_name().to_owned();
        assert!(command.get_about().is_some(), "{name} says nothing of itself");
        for argument in command.get_arguments() {
            assert!(argument.get_help().is_some(), "{name} {} is not explained", argument.get_id());
        }
        let help = command.render_long_help().to_string();
        assert!(
            help.contains("Example") && help.contains(&format!("ftqueue {name} ")),
            "{name} has no example:\n{help}"
        );
    }
}

#[test]
fn the_exit_codes_are_in_the_help() {
    assert!(Cli::command().render_long_help().to_string().contains(EXIT_CODES));
}

#[test]
fn labels_items_and_names_are_arguments() {
    let parsed = |line: &str| Cli::try_parse_from(line.split(' ')).map(|cli| cli.command);
    for (line, expected) in [
        ("ftqueue create -7", vec![Action::Create { label: -7 }]),
        ("ftqueue id -9223372036854775808", vec![Action::Id { label: i64::MIN }]),
        (
            "ftqueue push 1 -5 5 -9223372036854775808 --json",
            [-5, 5, i64::MIN].map(|item| Action::Push { queue: 1, item }).to_vec(),
        ),
    ] {
        let Ok(Command::Call(call)) = parsed(line) else { panic!("{line}") };
        assert_eq!(call.actions(), expected);
    }
    let named = parsed("ftqueue push 1 -5 5 --client me --number 7");
    let Ok(Command::Call(call)) = named else { panic!("{named:?}") };
    let named = |item, number| {
        let name = RequestName { client: "me".into(), number };
        (Action::Push { queue: 1, item }, Some(name))
    };
    assert_eq!(call.requests(), [named(-5, 7), named(5, 8)]);
    for wrong in [
        "ftqueue pop -1",
        "ftqueue pop 0",
        "ftqueue push 1",
        "ftqueue create 9223372036854775808",
        "ftqueue pop 1 --client me",
        "ftqueue pop 1 --number 1",
        "ftqueue pop 1 --client me --number 0",
        "ftqueue size 1 --client me --number 1",
    ] {
        let error = parsed(wrong).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{wrong}");
    }
}
