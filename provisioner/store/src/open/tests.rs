//! Stores of earlier schemas.

use super::*;
use crate::{
    ANSWER_KEPT_S, AnswerRow, AskedRow, Batch, BmcRow, ContainerRow, JobRow, JobState, Level, NetKind,
    NetRow, StepRow, THIS_TRANSACTION, VsRow,
};

/// A store as the second schema left it, with these history rows: time, cause, object.
async fn old_store(folder: &Path, rows: &[(&str, &str, &str)]) {
    let db = start(folder, SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(2).0).await.expect("the second schema");
    for (at, cause, object) in rows {
        db.execute(
            "INSERT INTO transactions (at, actor, cause, kind, object, before, after) \
             VALUES ($1, 'admin', $2, 'image', $3, 'null', '{}')",
            vec![Param::from(*at), Param::from(*cause), Param::from(*object)],
        )
        .await
        .expect("a row");
    }
    db.shutdown().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_before_there_were_labels_load_and_keep_what_they_have() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS).await.expect("the schema");
    let vs = r#"{"id":"v","name":"web","node":"n","running":true,"vcpus":2,"memory_mib":256,"kernel":"k",
        "kernel_size":1,"initrd":"","initrd_size":0,"append":"","macs":["02:57:00:00:00:00"],"generation":4,
        "instance":2}"#;
    let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
        "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null}"#;
    for (sql, doc) in [
        ("INSERT INTO vs (id, name, doc) VALUES ('v', 'web', $1)", vs),
        ("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", node),
    ] {
        db.execute(sql, vec![Param::from(doc)]).await.expect("a row");
    }
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it opens");
    let [vs] = store.servers().await.expect("servers").try_into().expect("one");
    assert_eq!((vs.labels.len(), vs.running, vs.generation, vs.instance), (0, true, 4, 2));
    let [node] = store.nodes().await.expect("nodes").try_into().expect("one");
    assert!(node.labels.is_empty() && node.approved, "{node:?}");
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn macs_of_the_third_schema_stay_drawn_and_the_two_pools_are_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(3).0).await.expect("the third schema");
    for n in [0i64, 1, 2, 9] {
        let row = vec![Param::from(n), Param::from("v")];
        db.execute("INSERT INTO macs (n, vs) VALUES ($1, $2)", row).await.expect("a MAC");
    }
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    let at = 0x0257_0000_0000u64;
    assert_eq!(store.drawn("mac").await.expect("runs"), [(at, at + 2), (at + 9, at + 9)]);
    assert_eq!(store.drawn("wwnn").await.expect("runs"), []);
    let pools = store.pools().await.expect("pools");
    let told: Vec<_> = pools.iter().map(|pool| (pool.name.as_str(), pool.kind.as_str())).collect();
    assert_eq!(told, [("default-mac", "mac"), ("default-wwnn", "wwnn")]);
    let vs = VsRow { id: "w".to_string(), name: "w".to_string(), ..VsRow::default() };
    let again = Batch::new("", "t", "t").put_vs(None, &vs).draw("mac", at + 9, "w");
    assert!(matches!(store.commit(again).await, Err(StoreError::Taken(_))), "it was drawn before");
    assert!(store.servers().await.expect("servers").is_empty(), "none of the batch was written");
    for sql in ["DELETE FROM identifiers", "UPDATE identifiers SET n = n + 100"] {
        assert!(store.db.execute(sql, Params::new()).await.is_err(), "{sql}");
    }
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_from_before_there_were_jobs_is_of_none_and_a_job_stands_with_its_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(4).0).await.expect("the fourth schema");
    db.execute(
        "INSERT INTO transactions (number, at, actor, verb, cause, undoes, kind, object, before, after) \
         VALUES (7, 't', 'admin', 'vs stop', 'vs stop', 0, 'vs', 'v', '{}', '{}')",
        Params::new(),
    )
    .await
    .expect("a row");
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    assert_eq!(store.transaction(7).await.expect("history")[0].job, 0);
    assert_eq!(
        (store.last_job().await.expect("a number"), store.open_jobs().await.expect("jobs").len()),
        (0, 0)
    );

    let step = StepRow { transaction: THIS_TRANSACTION, ..StepRow::default() };
    let job = JobRow { number: 1, steps: vec![step, StepRow::default()], ..JobRow::default() };
    let vs = VsRow { id: "w".to_string(), name: "w".to_string(), ..VsRow::default() };
    let change = || Batch::new("t", "admin", "vs create");
    let done = store.commit(change().put_vs(None, &vs).put_job(job.clone())).await.expect("a change");
    assert_eq!(done.transaction, Some(8));
    assert_eq!(store.transaction(8).await.expect("history")[0].job, 1);
    let kept = store.job(1).await.expect("a job").expect("it is there");
    assert_eq!((kept.steps[0].transaction, kept.steps[1].transaction), (8, 0));

    // A change that is refused leaves the job as it was.
    let taken = VsRow { id: "x".to_string(), ..vs };
    let next = JobRow { state: JobState::Undoing, ..kept.clone() };
    let refused = store.commit(change().put_vs(None, &taken).put_job(next.clone())).await;
    assert!(matches!(refused, Err(StoreError::Taken(_))), "{refused:?}");
    assert_eq!(store.open_jobs().await.expect("jobs"), [kept]);
    let ended = JobRow { state: JobState::Undone, ..next };
    store.commit(change().put_job(ended.clone())).await.expect("written");
    assert!(store.open_jobs().await.expect("jobs").is_empty());
    assert_eq!(store.jobs(u64::MAX, 10).await.expect("jobs"), [ended]);
    assert!(store.db.execute("DELETE FROM jobs", Params::new()).await.is_err());
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_an_earlier_schema_migrates_and_its_history_gets_numbers() {
    let folder = tempfile::tempdir().expect("a folder");
    let early = "2026-01-01T00:00:00Z";
    let late = "2026-01-02T00:00:00Z";
    let rows = [
        (early, "publish", "a"),
        (late, "activate", "a"),
        (late, "activate", "b"),
        (late, "x", "c"),
        // The same again at the same time, as where the clock was set back, with another change between.
        (late, "activate", "a"),
    ];
    old_store(folder.path(), &rows).await;
    let store = Store::open(folder.path()).await.expect("it migrates");
    let all = store.transactions(&crate::HistoryFilter::default(), u64::MAX, 10).await.expect("history");
    let told: Vec<(u64, &str, &str)> =
        all.iter().map(|row| (row.number, row.verb.as_str(), row.object.as_str())).collect();
    assert_eq!(
        told,
        [
            (5, "activate", "a"),
            (4, "x", "c"),
            (2, "activate", "a"),
            (2, "activate", "b"),
            (1, "publish", "a")
        ]
    );

    // New numbers come behind, and what was migrated is as fixed as before.
    let vs = VsRow { id: "v".to_string(), name: "v".to_string(), ..VsRow::default() };
    let done = store.commit(Batch::new(late, "t", "vs create").put_vs(None, &vs)).await.expect("a change");
    assert_eq!(done.transaction, Some(6));
    for sql in ["UPDATE transactions SET actor = 'x'", "DELETE FROM transactions"] {
        assert!(store.db.execute(sql, Params::new()).await.is_err(), "{sql}");
    }
    store.close().await.expect("closed");
    drop(store);
    let store = Store::open(folder.path()).await.expect("a later start");
    let again = store.transaction(6).await.expect("history");
    assert_eq!(again.len(), 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_from_before_there_were_roles_become_administrators() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(5).0).await.expect("the fifth schema");
    let user = r#"{"name":"admin","hash":"$argon2id$x","must_change":false,"one_time":false}"#;
    let session = r#"{"token_hash":"h","user":"admin","expires":9}"#;
    for (sql, doc) in [
        ("INSERT INTO users (name, doc) VALUES ('admin', $1)", user),
        ("INSERT INTO sessions (token_hash, name, doc) VALUES ('h', 'admin', $1)", session),
    ] {
        db.execute(sql, vec![Param::from(doc)]).await.expect("a row");
    }
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    let [admin] = store.users().await.expect("users").try_into().expect("one");
    assert_eq!((admin.role.as_str(), admin.hash.as_str()), ("administrator", "$argon2id$x"));
    let [session] = store.sessions().await.expect("sessions").try_into().expect("one");
    assert_eq!((session.expires, session.at.as_str()), (9, ""));
    assert!(store.tokens().await.expect("tokens").is_empty());
    // What is in history of accounts and tokens has no hash in it.
    let token = crate::TokenRow { name: "ci".into(), token_hash: "secret".into(), ..Default::default() };
    let batch = Batch::new("now", "admin", "x").put_user(Some(&admin), &admin).put_token(&token);
    let number = store.commit(batch).await.expect("a change").transaction.expect("a number");
    for row in store.transaction(number).await.expect("history") {
        let text = format!("{}{}", row.before, row.after);
        assert!(!text.contains("secret") && !text.contains("argon2"), "{text}");
    }
    assert_eq!(store.tokens().await.expect("tokens"), [token]);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_from_before_there_were_frames_are_in_none_and_names_are_of_a_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(6).0).await.expect("the sixth schema");
    let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
        "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null,"labels":{"a":"b"}}"#;
    db.execute("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", vec![Param::from(node)])
        .await
        .expect("a row");
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    let [node] = store.nodes().await.expect("nodes").try_into().expect("one");
    assert_eq!((node.frame.as_str(), node.labels.len()), ("", 1));
    assert!(store.containers().await.expect("containers").is_empty());

    let row = |id: &str, level| ContainerRow { id: id.into(), level, name: "a".into(), ..Default::default() };
    let (datacenter, frame) = (row("1", Level::Datacenter), row("2", Level::Frame));
    let batch = Batch::new("t", "admin", "x").put_container(None, &datacenter);
    store.commit(batch.put_container(None, &frame)).await.expect("two of one name at two levels");
    let taken = Batch::new("t", "admin", "x").put_container(None, &row("3", Level::Frame));
    assert!(matches!(store.commit(taken).await, Err(StoreError::Taken(_))));
    assert_eq!(store.containers().await.expect("containers"), [datacenter, frame.clone()]);
    store.commit(Batch::new("t", "admin", "x").delete_container(&frame)).await.expect("deleted");
    assert_eq!(store.containers().await.expect("containers").len(), 1);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_come_with_the_eleventh_schema_and_a_port_and_a_nic_are_taken_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(10).0).await.expect("the tenth schema");
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    assert!(store.networks().await.expect("networks").is_empty());
    let row = |id: &str, kind, name: &str, port: &str| NetRow {
        id: id.into(),
        kind,
        name: name.into(),
        port: port.into(),
        ..NetRow::default()
    };
    let put = |row: &NetRow| Batch::new("t", "admin", "x").put_net(None, row);
    let vnic = row("1", NetKind::Vnic, "a", "p");
    store.commit(put(&vnic).put_net(None, &row("2", NetKind::Port, "a", ""))).await.expect("two kinds");
    for taken in [row("3", NetKind::Vnic, "a", ""), row("3", NetKind::Vnic, "b", "p")] {
        assert!(matches!(store.commit(put(&taken)).await, Err(StoreError::Taken(_))), "{taken:?}");
    }
    // On no port there may be any number.
    for id in ["3", "4"] {
        store.commit(put(&row(id, NetKind::Vnic, id, ""))).await.expect("on no port");
    }
    let off = row("1", NetKind::Vnic, "a", "");
    store.commit(Batch::new("t", "admin", "x").put_net(Some(&vnic), &off)).await.expect("off its port");
    store.commit(put(&row("5", NetKind::Vnic, "b", "p"))).await.expect("the port is free");
    let nic = |id: &str| NetRow { nic: "m".into(), node: "n".into(), ..row(id, NetKind::Gateway, id, "") };
    store.commit(put(&nic("6"))).await.expect("a gateway port");
    assert!(matches!(store.commit(put(&nic("7"))).await, Err(StoreError::Taken(_))));
    store.commit(Batch::new("t", "admin", "x").delete_net(&nic("6"))).await.expect("deleted");
    assert_eq!(store.networks().await.expect("networks").len(), 5);
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_changes_come_with_the_eighth_schema_and_stand_with_their_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(7).0).await.expect("the seventh schema");
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    assert_eq!(store.answer("ann", "k").await.expect("read"), None);
    let row = |at: u64| AnswerRow {
        actor: "ann".into(),
        key: "k".into(),
        print: "p".into(),
        at,
        ..AnswerRow::default()
    };
    let vs = |id: &str, name: &str| VsRow { id: id.into(), name: name.into(), ..VsRow::default() };
    let change = || Batch::new("t", "ann", "vs create");
    let done = store.commit(change().put_vs(None, &vs("v", "web")).keyed(row(100))).await.expect("a change");
    let claimed = AnswerRow { transaction: done.transaction.expect("a number"), ..row(100) };
    assert_eq!(store.answer("ann", "k").await.expect("read"), Some(claimed.clone()));
    assert_eq!(store.answer("bob", "k").await.expect("read"), None);
    // The answer comes behind, and a further batch of the same request changes nothing of it.
    let answered = AnswerRow { status: 201, form: "f".into(), body: "b".into(), ..claimed };
    store.keep_answer(&AnswerRow { transaction: 0, ..answered.clone() }).await.expect("kept");
    store.commit(change().put_vs(None, &vs("w", "db")).keyed(row(101))).await.expect("a change");
    assert_eq!(store.answer("ann", "k").await.expect("read"), Some(answered.clone()));
    // A change that is refused leaves no key.
    let other = AnswerRow { key: "other".into(), ..row(102) };
    let taken = store.commit(change().put_vs(None, &vs("x", "db")).keyed(other)).await;
    assert!(matches!(taken, Err(StoreError::Taken(_))), "{taken:?}");
    assert_eq!(store.answer("ann", "other").await.expect("read"), None);
    store.close().await.expect("closed");
    drop(store);
    let store = Store::open(folder.path()).await.expect("a later start");
    assert_eq!(store.answer("ann", "k").await.expect("read"), Some(answered));
    // After a day it is nobody's key.
    let late = AnswerRow { status: 204, ..row(100 + ANSWER_KEPT_S) };
    store.commit(change().put_vs(None, &vs("y", "late")).keyed(late.clone())).await.expect("a change");
    let found = store.answer("ann", "k").await.expect("read").expect("a new one");
    assert_eq!((found.at, found.status), (late.at, 0));
    for n in 0..20u64 {
        let row = AnswerRow { key: format!("k{n}"), status: 204, ..row(late.at + n) };
        store.keep_within(&row, 5).await.expect("kept");
    }
    for (key, kept) in [("k14", false), ("k15", true), ("k19", true)] {
        assert_eq!(store.answer("ann", key).await.expect("read").is_some(), kept, "{key}");
    }
    store.close().await.expect("closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_from_before_there_was_power_have_no_controller_and_history_has_no_password() {
    let folder = tempfile::tempdir().expect("a folder");
    let db = start(folder.path(), SNAPSHOT_AFTER).await.expect("a database");
    migrate(&db, MIGRATIONS.split_at(8).0).await.expect("the eighth schema");
    let node = r#"{"id":"n","key":"k","name":"node-1","approved":true,"approved_boot_only":false,"conflict":"",
        "boot_counter":1,"mac":"","address":"","first_seen":"","last_seen":"","report":null}"#;
    db.execute("INSERT INTO nodes (id, name, doc) VALUES ('n', 'node-1', $1)", vec![Param::from(node)])
        .await
        .expect("a row");
    db.shutdown().await.expect("closed");
    let store = Store::open(folder.path()).await.expect("it migrates");
    assert!(store.bmcs().await.expect("controllers").is_empty());
    assert_eq!(store.nodes().await.expect("nodes").len(), 1);

    let row = BmcRow {
        node: "n".into(),
        name: "node-1".into(),
        kind: "ipmi".into(),
        password: "sealed".into(),
        generation: 1,
        ..BmcRow::default()
    };
    let asked = AskedRow { node: "n".into(), asked: "power off".into(), ..AskedRow::default() };
    let change = || Batch::new("t", "admin", "x");
    let batch = change().put_bmc(Some(&row), &row).ask_power(&asked);
    let number = store.commit(batch).await.expect("a change").transaction.expect("a number");
    assert_eq!(store.bmcs().await.expect("controllers"), std::slice::from_ref(&row));
    let history = store.transaction(number).await.expect("history");
    assert_eq!(history.iter().map(|row| row.kind.as_str()).collect::<Vec<_>>(), ["bmc", "power"]);
    for row in history {
        let text = format!("{}{}", row.before, row.after);
        assert!(!text.contains("sealed"), "{text}");
    }
    assert!(!format!("{row:?}").contains("sealed"));
    store.commit(change().delete_bmc(&row)).await.expect("cleared");
    assert!(store.bmcs().await.expect("controllers").is_empty());
    store.close().await.expect("closed");
}
