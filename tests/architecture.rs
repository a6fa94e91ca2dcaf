//! Who may import whom. The table is that of ARCHITECTURE.md's modules; a new edge is a decision, made here.

use std::fs;
use std::path::Path;

/// Module, and which other modules of the crate it may name.
const MAY_IMPORT: [(&str, &[&str]); 17] = [
    ("types", &[]),
    ("planted", &[]),
    ("counters", &[]),
    ("codec", &["types"]),
    ("entry", &["codec", "types"]),
    ("config", &["types", "planted", "queue"]),
    ("wire", &["codec", "entry", "types"]),
    ("queue", &["codec", "types", "planted"]),
    ("replica", &["wire", "entry", "codec", "queue", "config", "types", "planted", "counters"]),
    ("storage", &["codec", "entry", "config", "types"]),
    ("proto", &[]),
    // Of the codec only what says that a backup's reading is to end.
    (
        "runtime",
        &[
            "replica", "entry", "storage", "queue", "wire", "codec", "config", "types", "proto",
            "counters",
        ],
    ),
    ("metrics", &["runtime"]),
    ("api", &["runtime", "replica", "queue", "proto", "config", "types"]),
    ("client", &["proto", "queue", "types"]),
    ("history", &["queue"]),
    (
        "cli",
        &[
            "api", "metrics", "runtime", "replica", "storage", "queue", "wire", "config", "types",
            "proto", "client", "history", "entry",
        ],
    ),
];

/// The names after `crate::` in a line of code.
fn imported(line: &str) -> impl Iterator<Item = &str> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

fn check(path: &Path, module: &str, allowed: &[&str], wrong: &mut Vec<String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).expect("a folder of the package") {
            check(&entry.expect("an entry").path(), module, allowed, wrong);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        let text = fs::read_to_string(path).expect("a source file");
        for (number, line) in (1..).zip(text.lines()) {
            for name in imported(line) {
                // Every module's tests may use the tools for tests, which no other build has.
                if name != module && name != "test_tools" && !allowed.contains(&name) {
                    wrong.push(format!("{}:{number}: {module} imports {name}", path.display()));
                }
            }
        }
    }
}

#[test]
fn modules_import_only_what_they_may() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut known: Vec<String> = ["lib", "main", "test_tools"].map(str::to_owned).to_vec();
    for (module, allowed) in MAY_IMPORT {
        known.push(module.to_owned());
        check(&source.join(module), module, allowed, &mut wrong);
        let file = source.join(format!("{module}.rs"));
        if file.exists() {
            check(&file, module, allowed, &mut wrong);
        }
    }
    for entry in fs::read_dir(&source).expect("src") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if !known.contains(&name)
            && path.read_dir().map_or(true, |mut inside| inside.next().is_some())
        {
            wrong.push(format!("{}: not in the table of modules", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_line_names_the_modules_it_imports() {
    let names: Vec<&str> =
        imported("use crate::types::Seq; let x = crate::wire::open(); // crate::cli").collect();
    assert_eq!(names, ["types", "wire"]);
}
