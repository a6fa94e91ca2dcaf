//! What a person is told of a cluster that serves.

use std::path::Path;

use super::directory::Directory;
use super::layout::Layout;
use crate::cli::arguments::DEV_CLUSTER;
use crate::cli::paste::typed;

/// What a person needs to know of a cluster that serves.
pub(super) fn introduction(layout: Layout, program: &Path, directory: &Directory) -> String {
    let program = typed(program);
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
}
