//! Where the shell's lines come from: a terminal with line editing, or any other input.

use std::io::{self, BufRead, IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::mpsc as blocking;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, Helper};
use tokio::sync::mpsc;

use super::line;
use crate::client::Endpoint;

/// Lines, read when they are asked for.
///
/// Reading blocks, so it has a thread of its own: meanwhile the runtime looks after the connections, and the next call
/// does not go out on one that was closed long ago.
pub(super) struct Lines {
    interactive: bool,
    ask: blocking::SyncSender<String>,
    read: mpsc::Receiver<io::Result<Option<String>>>,
}

/// The longest line that is read from a pipe, in bytes: some 3,000 items.
const MAX_LINE: u64 = 64 * 1024;

impl Lines {
    /// The lines of standard input; `endpoints` are offered for completion at a terminal.
    ///
    /// # Errors
    /// When the terminal cannot be set up.
    pub(super) fn of_stdin(endpoints: &[Endpoint]) -> io::Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self::of(io::BufReader::new(io::stdin())));
        }
        let mut terminal = Terminal::new(endpoints)?;
        Ok(Self::start(true, move |prompt| terminal.read(prompt)))
    }

    /// The lines of any other input.
    pub(super) fn of(mut input: impl BufRead + Send + 'static) -> Self {
        Self::start(false, move |_| read_line(&mut input))
    }

    fn start(
        interactive: bool,
        mut read_one: impl FnMut(&str) -> io::Result<Option<String>> + Send + 'static,
    ) -> Self {
        let (ask, asked) = blocking::sync_channel::<String>(1);
        let (tell, read) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Ok(prompt) = asked.recv() {
                if tell.blocking_send(read_one(&prompt)).is_err() {
                    break;
                }
            }
        });
        Self { interactive, ask, read }
    }

    /// The next line without its end; nothing at the end of input.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn next(&mut self, prompt: String) -> io::Result<Option<String>> {
        let gone = || io::Error::other("the thread that reads lines has ended");
        self.ask.send(prompt).map_err(|_| gone())?;
        self.read.recv().await.ok_or_else(gone)?
    }

    /// Whether a person types the lines.
    pub(super) fn interactive(&self) -> bool {
        self.interactive
    }
}

/// Reads one line.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = input.by_ref().take(MAX_LINE).read_line(&mut line)? as u64;
    if read == MAX_LINE && !line.ends_with('\n') {
        return Err(io::Error::other(format!("a line has more than {MAX_LINE} bytes")));
    }
    Ok((read > 0).then_some(line))
}

/// A terminal with line editing, completion and a history that outlives the shell.
struct Terminal {
    editor: Editor<Words, FileHistory>,
    history: Option<PathBuf>,
}

impl Terminal {
    fn new(endpoints: &[Endpoint]) -> io::Result<Self> {
        let config = Config::builder()
            .auto_add_history(true)
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor = Editor::with_config(config).map_err(io::Error::other)?;
        editor.set_helper(Some(Words {
            commands: line::names(),
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
        }));
        let history = state_directory().map(|directory| directory.join("shell_history"));
        if let Some(path) = &history {
            // There is none the first time, and a shell without its history is still a shell.
            drop(path.parent().map(std::fs::create_dir_all));
            drop(editor.load_history(path));
        }
        Ok(Self { editor, history })
    }

    fn read(&mut self, prompt: &str) -> io::Result<Option<String>> {
        loop {
            match self.editor.readline(prompt) {
                Ok(line) => {
                    if let Some(path) = &self.history {
                        drop(self.editor.append_history(path));
                    }
                    return Ok(Some(line));
                }
                // Ctrl-C drops the line, Ctrl-D ends the shell: as other shells have it.
                Err(ReadlineError::Interrupted) => {}
                Err(ReadlineError::Eof) => return Ok(None),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }
}

/// Where this user's programs keep what should outlive them; nothing for a user without a home.
fn state_directory() -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME");
    base.or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|it| it.join("ftqueue"))
}

/// What Tab offers: a command for the first word, for the second what the first one takes.
struct Words {
    commands: Vec<String>,
    endpoints: Vec<String>,
}

impl Words {
    /// Where the word at the end of `line` starts, and what it may become.
    fn offer(&self, line: &str) -> (usize, Vec<String>) {
        let start = line.rfind(char::is_whitespace).map_or(0, |space| space + 1);
        let before: Vec<_> = line[..start].split_whitespace().collect();
        let offered: &[String] = match before.as_slice() {
            [] | ["help"] => &self.commands,
            ["use"] => &self.endpoints,
            _ => &[],
        };
        let fits = offered.iter().filter(|word| word.starts_with(&line[start..]));
        (start, fits.map(|word| format!("{word} ")).collect())
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.offer(&line[..position]))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tab_offers_commands_then_what_they_take() {
        let words = Words {
            commands: ["pop", "push", "use"].map(str::to_owned).to_vec(),
            endpoints: vec!["127.0.0.1:7001".to_owned()],
        };
        let offered = |line| words.offer(line);
        let some =
            |start, list: &[&str]| (start, list.iter().map(|&word| word.to_owned()).collect());
        assert_eq!(offered("p"), some(0, &["pop ", "push "]));
        assert_eq!(offered("  us"), some(2, &["use "]));
        assert_eq!(offered("use "), some(4, &["127.0.0.1:7001 "]));
        assert_eq!(offered("help po"), some(5, &["pop "]));
        assert_eq!(offered("push 1"), some(5, &[]));
        assert_eq!(offered(""), some(0, &["pop ", "push ", "use "]));
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_an_error() {
        let mut lines = Lines::of(io::Cursor::new(format!("size 1\n{}\n", "1".repeat(70_000))));
        assert_eq!(lines.next(String::new()).await.unwrap().unwrap(), "size 1\n");
        assert!(lines.next(String::new()).await.is_err());
    }
}
