//! What a person is told of a cluster that serves.

use std::path::{Path, PathBuf};

use super::directory::Directory;
use super::layout::Layout;
use crate::cli::arguments::DEV_CLUSTER;

/// What a person needs to know of a cluster that serves.
pub(super) fn introduction(layout: Layout, program: &Path, directory: &Directory) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path: Vec<_> = std::env::split_paths(&path).collect();
    let current = std::env::current_dir().ok();
    let program = as_typed(program, current.as_deref(), &path);
    let replicas: String = layout
        .ids()
        .map(|id| format!("  replica {id}  gRPC {}  ring {}\n", layout.grpc(id), layout.ring(id)))
        .collect();
    let lines: String =
        lines_to_paste(layout, &program).iter().map(|line| format!("  {line}\n")).collect();
    let fate =
        if directory.is_temporary() { "removed at the end; --data DIR keeps them" } else { "kept" };
    format!(
        "The cluster serves, until Ctrl-C:\n{replicas}  data and logs in {} ({fate})\n\n\
         Paste into another terminal:\n{lines}",
        directory.path().display()
    )
}

/// Three lines that work when pasted into a shell, whatever the queues hold. `program` is this program as a person
/// would type it.
fn lines_to_paste(layout: Layout, program: &str) -> [String; 3] {
    let (first, last) = (layout.grpc(0), layout.grpc(layout.last()));
    // Without the flag the client calls the dev cluster.
    let is_dev_cluster = DEV_CLUSTER.split(',').any(|endpoint| endpoint == first.to_string());
    let here = if is_dev_cluster { String::new() } else { format!(" --endpoints {first}") };
    [
        format!("grpcurl -plaintext -d '{{\"label\": 7}}' {first} ftqueue.v1.FTQueue/QCreate"),
        format!("{program} push \"$({program} create 7{here})\" 17 18 19{here}"),
        format!("{program} pop \"$({program} create 7{here})\" --endpoints {last}"),
    ]
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
fn quoted(word: &str) -> String {
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
    fn the_dev_clusters_lines_need_no_endpoints() {
        let lines = lines_to_paste(Layout::new(3, 7000).unwrap(), "target/release/ftqueue");
        assert_eq!(
            lines,
            [
                r#"grpcurl -plaintext -d '{"label": 7}' 127.0.0.1:7001 ftqueue.v1.FTQueue/QCreate"#,
                r#"target/release/ftqueue push "$(target/release/ftqueue create 7)" 17 18 19"#,
                r#"target/release/ftqueue pop "$(target/release/ftqueue create 7)" --endpoints 127.0.0.1:7003"#,
            ]
        );
    }

    #[test]
    fn another_clusters_lines_name_an_endpoint() {
        let lines = lines_to_paste(Layout::new(1, 8000).unwrap(), "f");
        let here = "--endpoints 127.0.0.1:8001";
        assert_eq!(lines[1], format!(r#"f push "$(f create 7 {here})" 17 18 19 {here}"#));
    }

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
