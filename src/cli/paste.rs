//! Lines that a person can paste into a shell.

use std::path::{Path, PathBuf};

/// A program as a person here would type it; quoted for a shell if it must be.
pub(crate) fn typed(program: &Path) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).collect();
    as_typed(program, std::env::current_dir().ok().as_deref(), &path)
}

/// A program as a person would type it: its name where `PATH` finds it, else its path from the current directory, else
/// its whole path; quoted for a shell if it must be.
fn as_typed(program: &Path, current: Option<&Path>, path: &[PathBuf]) -> String {
    let name = program.file_name().map(Path::new);
    let typed = match (name, current.and_then(|directory| program.strip_prefix(directory).ok())) {
        (Some(name), _) if path.iter().any(|directory| program.parent() == Some(directory)) => {
            name.to_owned()
        }
        (Some(name), Some(relative)) if relative == name => Path::new(".").join(name),
        (_, Some(relative)) => relative.to_owned(),
        (_, None) => program.to_owned(),
    };
    quoted(&typed.to_string_lossy())
}

/// A word as a POSIX shell reads it back.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,=".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_typed_as_a_person_would() {
        let here = Some(Path::new("/home/a/ftqueue"));
        let path = [PathBuf::from("/bin"), PathBuf::from("/usr/local/bin")];
        let typed = |program| as_typed(Path::new(program), here, &path);
        assert_eq!(typed("/usr/local/bin/ftqueue"), "ftqueue");
        assert_eq!(typed("/home/a/ftqueue/target/release/ftqueue"), "target/release/ftqueue");
        assert_eq!(typed("/home/a/ftqueue/ftqueue"), "./ftqueue");
        assert_eq!(typed("/opt/ftqueue"), "/opt/ftqueue");
        assert_eq!(typed("/opt/it's here/ftqueue"), r"'/opt/it'\''s here/ftqueue'");
    }
}
