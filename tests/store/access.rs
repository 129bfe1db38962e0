//! Who has access, as both stores keep it: each change once, in one step with its line of the audit.

use floodmark::{
    access::{Access, ChangeError, secret},
    domain::access::{
        Account, Identity, IdentityKind, KeyRules, Role,
        change::{By, NewIdentity},
    },
};

use crate::{backend::Backend, contract::contract};

contract!(
    a_new_store_knows_nobody,
    a_change_and_its_line_of_the_audit_are_kept,
    of_two_changes_at_once_none_is_lost,
    a_line_of_the_audit_never_changes,
);

fn by(at: i64) -> By<'static> {
    By { actor: "test", at }
}

fn key(name: &str) -> NewIdentity {
    let kind = IdentityKind::Key(KeyRules {
        secret: secret::hash(name),
        number: 0,
        source: name.to_owned(),
        public: true,
        allowed_origins: vec!["https://shop.example".to_owned()],
        event_types: Vec::new(),
        events_per_s: Some(5),
        ids: vec![format!("{name}.example")],
    });
    NewIdentity {
        id: secret::id(),
        name: name.to_owned(),
        expires_at: None,
        kind,
        viewers_configured: false,
    }
}

fn user(name: &str, role: Role) -> NewIdentity {
    let kind = IdentityKind::User(Account {
        role,
        sees_money: true,
        password: None,
        generation: 0,
        ended: Vec::new(),
        elsewhere: None,
    });
    NewIdentity {
        id: secret::id(),
        name: name.to_owned(),
        expires_at: Some(i64::MAX),
        kind,
        viewers_configured: false,
    }
}

async fn a_new_store_knows_nobody(backend: Backend) {
    let store = backend.open().await.access;
    assert_eq!(store.access_doors().await.unwrap(), (false, false));
    let book = store.access_book().await.unwrap();
    assert_eq!((book.version, book.identities.len(), book.last_number), (0, 0, 0));
    assert_eq!(book.session_key.len(), 32);
    assert!(!book.sends_closed && !book.views_closed);
    let again = backend.open().await.access.access_book().await.unwrap();
    assert_eq!(again.session_key, book.session_key, "all nodes have the same");
    assert!(store.access_audit(i64::MAX, 10).await.unwrap().is_empty());
}

async fn a_change_and_its_line_of_the_audit_are_kept(backend: Backend) {
    let access = Access::of_command(backend.open().await.access);
    let added = access.change(|book| book.add(by(1000), key("web")).map(Some)).await.unwrap();
    let added = added.expect("a change");
    access.change(|book| book.add(by(2000), user("Root", Role::Admin)).map(Some)).await.unwrap();
    // Another node reads the same.
    let store = backend.open().await.access;
    assert_eq!(store.access_version().await.unwrap(), 2);
    assert_eq!(store.access_doors().await.unwrap(), (true, true));
    let book = store.access_book().await.unwrap();
    let names: Vec<&str> = book.identities.iter().map(|it| it.name.as_str()).collect();
    assert_eq!((names, book.last_number), (vec!["web", "root"], 1));
    assert_eq!(book.identities[0], added);
    // A change that was made for an earlier version changes nothing, and leaves no line.
    let old = access.book().current().unwrap();
    access.change(|book| book.revoke(by(3000), "key", "web").map(Some)).await.unwrap();
    let late = old.revoke(by(4000), "key", "web").unwrap();
    assert!(!store.change_access(&late).await.unwrap());
    let book = store.access_book().await.unwrap();
    assert_eq!((book.version, book.identities.len()), (3, 1), "the revoked one is not read");
    assert!(book.sends_closed && book.last_number == 1);
    let lines = store.access_audit(i64::MAX, 10).await.unwrap();
    let told = |at: usize| (lines[at].version, lines[at].action.as_str(), lines[at].at);
    assert_eq!(
        (told(0), told(1), told(2)),
        ((3, "revoke", 3000), (2, "add", 2000), (1, "add", 1000))
    );
    assert_eq!(lines.len(), 3);
    let page = store.access_audit(3, 1).await.unwrap();
    assert_eq!((page.len(), page[0].version), (1, 2));
    // The name is free again.
    access.change(|book| book.add(by(5000), key("web")).map(Some)).await.unwrap();
}

async fn of_two_changes_at_once_none_is_lost(backend: Backend) {
    let nodes = [backend.open().await, backend.open().await];
    let adding = nodes.iter().enumerate().flat_map(|(node, stores)| {
        let access = Access::of_command(stores.access.clone());
        (0..4).map(move |n| {
            let access = access.clone();
            async move {
                let name = format!("key-{node}-{n}");
                loop {
                    match access.change(|book| book.add(by(1), key(&name)).map(Some)).await {
                        Ok(_) => return,
                        // Others came first each time.
                        Err(ChangeError::Contended) => {}
                        Err(other) => panic!("{name}: {other}"),
                    }
                }
            }
        })
    });
    futures_util::future::join_all(adding).await;
    let book = nodes[0].access.access_book().await.unwrap();
    let mut numbers: Vec<u32> =
        book.identities.iter().filter_map(Identity::as_key).map(|key| key.number).collect();
    numbers.sort_unstable();
    assert_eq!((book.version, numbers), (8, (1..=8).collect()));
    assert_eq!(nodes[1].access.access_audit(i64::MAX, 99).await.unwrap().len(), 8);
}

async fn a_line_of_the_audit_never_changes(backend: Backend) {
    let access = Access::of_command(backend.open().await.access);
    access.change(|book| book.add(by(1000), key("web")).map(Some)).await.unwrap();
    for sql in ["UPDATE access_audit SET at = 0", "DELETE FROM access_audit"] {
        let refused = match &backend {
            Backend::Sqlite(dir) => {
                let db = rusqlite::Connection::open(dir.path().join("floodmark.db")).unwrap();
                db.execute(sql, []).unwrap_err().to_string()
            }
            Backend::Postgres(postgres) => postgres.try_sql(sql).await.unwrap_err(),
        };
        assert!(refused.contains("only added"), "{refused}");
    }
    assert_eq!(access.audit(i64::MAX, 9).await.unwrap()[0].at, 1000);
}
