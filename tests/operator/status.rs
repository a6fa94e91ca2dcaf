//! `ftqueue status`: with all replicas, without one, and without a majority.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::tool::{call, endpoints, run, serving, status, until_status};

const SIZE: usize = 3;

/// The ids of a view's members.
fn members(replica: &Value) -> Vec<u64> {
    let members = replica["view"]["members"].as_array().map(Vec::as_slice).unwrap_or_default();
    members.iter().map(|member| member["replica"].as_u64().unwrap()).collect()
}

/// Whether all replicas are members of one view of all, and have delivered the same.
fn all_level(replicas: &Value) -> bool {
    let replicas = replicas.as_array().unwrap();
    let same = |field: &str| replicas.iter().all(|one| one[field] == replicas[0][field]);
    let through = &replicas[0]["delivered"];
    let all = |field: &str| replicas.iter().all(|one| &one[field] == through);
    replicas.iter().all(|one| members(one) == [0, 1, 2] && one["serving"] == true)
        && same("view")
        && ["delivered", "committed", "durable", "ordered"].into_iter().all(all)
}

/// A cell of the table that `status` prints, by the column's name.
fn cell<'a>(table: &'a str, row: &str, column: &str) -> &'a str {
    // Columns are two spaces apart at least, cells may hold single ones.
    let head = table.lines().next().unwrap();
    let at = head.find(column).unwrap_or_else(|| panic!("no column {column}: {table}"));
    let line = table.lines().skip(1).find(|line| line.trim().starts_with(row));
    let line = line.unwrap_or_else(|| panic!("no row {row}: {table}"));
    line[at..].split("  ").next().unwrap().trim()
}

#[tokio::test]
async fn all_replicas_are_shown() {
    let cluster = Cluster::start(SIZE).await;
    assert_eq!(call(&cluster, 0, &["create", "7"]).0, 0);
    for id in cluster.all() {
        assert_eq!(call(&cluster, id, &["push", "1", "5"]).0, 0);
    }
    let last = call(&cluster, 2, &["size", "1"]).1["sequence"].as_u64().unwrap();
    assert_eq!(last, 5);
    let (exit, all) = until_status(&cluster, "a status that is the same at all", all_level);
    assert_eq!((exit, &all["majority_serves"]), (0, &Value::Bool(true)));
    let replicas = all["replicas"].as_array().unwrap();
    for (id, one) in replicas.iter().enumerate() {
        assert_eq!(one["endpoint"], cluster.replicas[id].grpc.to_string());
        assert_eq!(one["replica"], id);
        assert_eq!((&one["status"], &one["durability"]), (&"member".into(), &"fsync".into()));
        assert_eq!((&one["sequence"], &one["open_calls"]), (&last.into(), &0.into()));
        // Its own view of itself is the view's.
        assert_eq!(one["view"]["members"][id]["incarnation"], one["incarnation"]);
        // The others hear it, and it hears them.
        let peers = one["peers"].as_array().unwrap();
        assert_eq!(peers.len(), SIZE - 1);
        for peer in peers {
            let other = &replicas[usize::try_from(peer["replica"].as_u64().unwrap()).unwrap()];
            assert_eq!(peer["incarnation"], other["incarnation"]);
            assert_eq!(peer["suspected"], "");
            assert!(peer["hears"].as_array().unwrap().contains(&id.into()), "{peer}");
        }
    }

    // A person is told the same.
    let ran = run(&["status", "--endpoints", &endpoints(&cluster)]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    for one in replicas {
        let row = one["endpoint"].as_str().unwrap();
        let text = |field: &str| match &one[field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        for column in [
            "replica",
            "incarnation",
            "delivered",
            "committed",
            "durable",
            "sequence",
            "durability",
        ] {
            assert_eq!(cell(&ran.out, row, column), text(column), "{column}: {}", ran.out);
        }
        assert_eq!(cell(&ran.out, row, "view"), one["view"]["number"].as_str().unwrap());
        assert_eq!(cell(&ran.out, row, "members"), "0 1 2");
        assert_eq!(cell(&ran.out, row, "serving"), "yes");
    }
    assert_eq!(ran.out.lines().count(), 1 + SIZE, "nothing is to be remarked: {}", ran.out);
}

#[tokio::test]
async fn one_that_is_gone_and_a_majority_that_is() {
    let mut cluster = Cluster::start(SIZE).await;
    let before = status(&cluster).1["replicas"][1].clone();
    cluster.replicas[1].kill().await;
    let (exit, all) = until_status(&cluster, "a view of the other two", |replicas| {
        serving(replicas) == 2 && [0, 2].iter().all(|&id| members(&replicas[id]) == [0, 2])
    });
    assert_eq!((exit, &all["majority_serves"]), (0, &Value::Bool(true)));
    let gone = &all["replicas"][1];
    let endpoint = cluster.replicas[1].grpc.to_string();
    assert_eq!(gone["endpoint"], endpoint);
    assert!(!gone["error"].as_str().unwrap().is_empty(), "{gone}");
    assert!(gone.get("serving").is_none(), "nobody says so: {gone}");
    let ran = run(&["status", "--endpoints", &endpoints(&cluster)]);
    assert_eq!((ran.exit, ran.err.as_str()), (0, ""));
    assert_eq!(cell(&ran.out, &endpoint, "status"), "not reached");
    assert!(ran.out.contains(&format!("\n{endpoint} was not reached: ")), "{}", ran.out);

    // Without a majority the one that is left says why it does not serve, and for how long it has not.
    cluster.replicas[2].kill().await;
    let alone = "it reaches 1 of 3 replicas, and 2 make a majority";
    let (exit, all) = until_status(&cluster, "a survivor that does not serve", |replicas| {
        replicas[0]["why_not"] == alone
    });
    assert_eq!((exit, &all["majority_serves"]), (1, &Value::Bool(false)));
    let since = all["replicas"][0]["serving_ms"].as_u64().unwrap();
    let (_, later) = until_status(&cluster, "time passing", |replicas| {
        replicas[0]["serving_ms"].as_u64().unwrap() >= since + 1_000
    });
    assert_eq!(later["replicas"][0]["why_not"], alone, "it is one time and one reason");
    let peers = later["replicas"][0]["peers"].as_array().unwrap();
    assert!(peers.iter().all(|peer| peer["suspected"] != ""), "{peers:?}");
    let ran = run(&["status", "--endpoints", &endpoints(&cluster)]);
    assert_eq!((ran.exit, ran.err.as_str()), (1, ""));
    let left = cluster.replicas[0].grpc;
    assert_eq!(cell(&ran.out, &left.to_string(), "serving"), "no");
    let remark = ran.out.lines().find(|line| line.starts_with(&format!("{left} has not served")));
    let remark = remark.unwrap_or_else(|| panic!("no word of {left}: {}", ran.out));
    assert!(remark.ends_with(&format!(" s: {alone}")), "{remark}");
    assert!(!remark.contains("for 0."), "a second has passed: {remark}");

    // A replica that comes back does so in another life.
    cluster.replicas[1].start();
    let (exit, all) = until_status(&cluster, "a majority again", |all| serving(all) == 2);
    assert_eq!(exit, 0);
    let (old, new) = (&before["incarnation"], &all["replicas"][1]["incarnation"]);
    assert!(new.as_u64() > old.as_u64(), "{old} {new}");
    assert_eq!(all["replicas"][0]["why_not"], "");
}

/// Where nobody at all is reached nothing is known, and that is no success.
#[test]
fn nobody_is_reached() {
    let ran = run(&["status", "--endpoints", "127.0.0.1:1", "--json"]);
    assert_eq!((ran.exit, ran.err.as_str()), (1, ""));
    assert_eq!(ran.object()["majority_serves"], false);
}
