//! The rules that changes of the book keep, and what each identity may do and see.

use super::{
    change::{By, NewIdentity},
    *,
};
use crate::domain::time::Millis;

const BY: By<'static> = By { actor: "test", at: 1000 };

fn user(role: Role) -> IdentityKind {
    IdentityKind::User(Account {
        role,
        sees_money: false,
        password: None,
        generation: 0,
        ended: Vec::new(),
        elsewhere: None,
    })
}

fn key(source: &str) -> IdentityKind {
    IdentityKind::Key(KeyRules {
        secret: format!("hash of {source}"),
        number: 0,
        source: source.to_owned(),
        public: false,
        allowed_origins: Vec::new(),
        event_types: Vec::new(),
        events_per_s: None,
        ids: Vec::new(),
    })
}

fn token(scopes: &[Permission], sees_money: bool) -> IdentityKind {
    let secret = "hash of token".to_owned();
    IdentityKind::Token(TokenGrant { secret, scopes: scopes.to_vec(), sees_money })
}

fn link() -> IdentityKind {
    let secret = "hash of link".to_owned();
    IdentityKind::Link(LinkGrant { secret, sees_money: false, password: None })
}

fn new(name: &str, kind: IdentityKind) -> NewIdentity {
    let id = format!("id-{}-{name}", kind.name());
    NewIdentity { id, name: name.to_owned(), expires_at: None, kind, viewers_configured: false }
}

/// What a store makes of a change.
fn applied(book: &Book, change: AccessChange) -> Book {
    let mut stored = book.stored().clone();
    assert_eq!(change.from, stored.version);
    stored.version += 1;
    stored.sends_closed |= change.closes_sends;
    stored.views_closed |= change.closes_views;
    let number = change.identity.as_key().map_or(0, |key| key.number);
    stored.last_number = stored.last_number.max(number);
    stored.identities.retain(|it| it.id != change.identity.id);
    stored.identities.extend(Some(change.identity).filter(|it| it.revoked_at.is_none()));
    Book::new(stored)
}

fn with(book: &Book, name: &str, kind: IdentityKind) -> Book {
    applied(book, book.add(BY, new(name, kind)).unwrap())
}

#[test]
fn a_door_stays_closed_once_somebody_was_named() {
    let doors = |book: &Book| (book.stored().sends_closed, book.stored().views_closed);
    let book = Book::default();
    assert_eq!(doors(&book), (false, false));
    let book = with(&book, "web", key("web"));
    assert_eq!(doors(&book), (true, false));
    let book = applied(&book, book.revoke(BY, "key", "web").unwrap());
    assert_eq!((doors(&book), book.identities().len()), ((true, false), 0));
    let book = with(&book, "ci", token(&[Permission::Metrics], true));
    assert_eq!(doors(&book), (true, true));
}

#[test]
fn a_key_gets_a_number_that_none_had_before() {
    let number =
        |book: &Book, name: &str| book.named("key", name).unwrap().as_key().unwrap().number;
    let book = with(&Book::default(), "a", key("a"));
    let book = with(&book, "b", key("a"));
    assert_eq!((number(&book, "a"), number(&book, "b")), (1, 2));
    let book = applied(&book, book.revoke(BY, "key", "b").unwrap());
    let book = with(&book, "b", key("b"));
    assert_eq!(number(&book, "b"), 3);
}

#[test]
fn names_are_taken_once_and_found_as_they_are_typed() {
    let book = with(&Book::default(), "Alice@shop.example", user(Role::Admin));
    for name in ["alice@shop.example", "ALICE@shop.example", "id-user-Alice@shop.example"] {
        assert!(book.named("user", name).is_some(), "{name}");
    }
    assert!(book.named("key", "alice@shop.example").is_none());
    let again = book.add(BY, new("alice@SHOP.example", user(Role::Viewer)));
    assert!(matches!(again, Err(AccessFault::Taken { kind: "user", .. })), "{again:?}");
    for name in ["", "a b", "a/b", "é", &"x".repeat(65)] {
        assert!(book.add(BY, new(name, user(Role::Viewer))).is_err(), "{name}");
    }
    assert!(matches!(book.revoke(BY, "user", "bob"), Err(AccessFault::Unknown { .. })));
}

#[test]
fn what_is_made_has_to_make_sense() {
    let book = with(&Book::default(), "root", user(Role::Admin));
    let change = |change: &dyn Fn(&mut KeyRules)| {
        let mut kind = key("web");
        if let IdentityKind::Key(rules) = &mut kind {
            change(rules);
        }
        book.add(BY, new("web", kind)).map(drop)
    };
    assert_eq!(change(&|_| ()), Ok(()));
    assert!(change(&|key| key.source = "http".to_owned()).is_err());
    assert!(change(&|key| key.source = "a b".to_owned()).is_err());
    assert!(change(&|key| key.allowed_origins = vec!["shop.example".to_owned()]).is_err());
    assert!(change(&|key| key.event_types = vec!["ä".to_owned()]).is_err());
    assert!(change(&|key| key.events_per_s = Some(0)).is_err());
    let ids = |ids: &[&str], public| {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        change(&|key| (key.ids, key.public) = (ids.clone(), public))
    };
    assert_eq!(ids(&["shop.example", "1"], true), Ok(()));
    assert!(ids(&["1"], false).is_err(), "everybody can read an id");
    for wrong in [&["1", "1"][..], &[""], &["a b"], &["é"], &[&"x".repeat(254)]] {
        assert!(ids(wrong, true).is_err(), "{wrong:?}");
    }
    let add = |kind: IdentityKind| book.add(BY, new("it", kind)).is_ok();
    assert!(!add(token(&[], true)), "a token needs a scope");
    assert!(add(token(&[Permission::Numbers], false)));
    assert!(!add(token(&[Permission::Letters], false)), "refused events have amounts in them");
    assert!(!add(token(&[Permission::Events], false)), "events have amounts in them");
    assert!(add(link()));
    let open = Book::default().add(BY, new("it", link()));
    assert!(open.is_err(), "everybody may look already");
    let configured = NewIdentity { viewers_configured: true, ..new("it", link()) };
    let added = Book::default().add(BY, configured).unwrap();
    assert!(!added.closes_views, "the configuration does, for as long as it has tokens");
    let over = NewIdentity { expires_at: Some(BY.at), ..new("it", link()) };
    assert!(book.add(BY, over).is_err());
}

#[test]
fn an_id_belongs_to_one_key() {
    let public = |source: &str| match key(source) {
        IdentityKind::Key(rules) => {
            IdentityKind::Key(KeyRules { public: true, ids: vec!["7".to_owned()], ..rules })
        }
        other => other,
    };
    let book = with(&Book::default(), "a", public("a"));
    let again = book.add(BY, new("b", public("b")));
    assert!(
        matches!(&again, Err(AccessFault::Invalid(why)) if why.contains("the key a")),
        "{again:?}"
    );
    let book = applied(&book, book.revoke(BY, "key", "a").unwrap());
    assert!(book.add(BY, new("b", public("b"))).is_ok(), "a revoked key has it no more");
}

#[test]
fn a_key_that_was_kept_before_there_were_ids_is_read() {
    let book = with(&Book::default(), "web", key("web"));
    let mut kept = serde_json::to_value(book.named("key", "web").unwrap()).unwrap();
    kept.as_object_mut().unwrap().remove("ids").unwrap();
    let read: Identity = serde_json::from_value(kept).unwrap();
    assert_eq!(&read, book.named("key", "web").unwrap());
}

#[test]
fn there_is_a_limit_to_all_of_them() {
    let identities = (0..change::MAX_IDENTITIES).map(|n| Identity {
        id: format!("{n}"),
        name: format!("{n}"),
        created_at: 0,
        created_by: String::new(),
        expires_at: None,
        revoked_at: None,
        kind: key("web"),
    });
    let stored = StoredBook { identities: identities.collect(), ..StoredBook::default() };
    let full = Book::new(stored);
    assert_eq!(full.add(BY, new("one-more", key("web"))), Err(AccessFault::TooMany));
    assert!(full.add(BY, new("other", user(Role::Viewer))).is_ok());
}

#[test]
fn an_admin_stays() {
    let book = with(&Book::default(), "root", user(Role::Admin));
    assert_eq!(book.revoke(BY, "user", "root"), Err(AccessFault::LastAdmin));
    assert_eq!(book.set_role(BY, "root", Role::Viewer, true), Err(AccessFault::LastAdmin));
    let expires_at = Some(2000);
    let short = NewIdentity { expires_at, ..new("short", user(Role::Admin)) };
    let book = applied(&book, book.add(BY, short).unwrap());
    assert!(book.revoke(BY, "user", "root").is_ok());
    let later = By { at: 2000, ..BY };
    assert!(book.revoke(later, "user", "root").is_err(), "the other one is not good any more");
}

#[test]
fn sessions_end_one_by_one_or_all_at_once() {
    let book = with(&Book::default(), "bob", user(Role::Viewer));
    let account = |book: &Book| book.named("user", "bob").unwrap().as_user().unwrap().clone();
    let end = |book: &Book, id: &str, until: Millis| {
        let session = EndedSession { id: id.to_owned(), until };
        applied(book, book.logout(BY, "bob", Some(session)).unwrap())
    };
    let book = end(&end(&book, "a", 5000), "past", 900);
    let book = end(&book, "b", 6000);
    let ended: Vec<_> = account(&book).ended.into_iter().map(|it| it.id).collect();
    assert_eq!((ended, account(&book).generation), (vec!["a".to_owned(), "b".to_owned()], 0));
    let many = (0..60).fold(book, |book, n| end(&book, &format!("{n}"), 9000));
    assert!(account(&many).generation == 1 && account(&many).ended.len() < 60, "all of them");
    let hash = PasswordHash("hash".to_owned());
    let book = applied(&many, many.set_password(BY, "bob", hash).unwrap());
    assert_eq!((account(&book).generation, account(&book).ended.len()), (2, 0));
}

#[test]
fn a_line_of_the_audit_says_all_but_secrets() {
    let book = with(&Book::default(), "root", user(Role::Admin));
    let change = book.add(BY, new("web", key("shop"))).unwrap();
    let AuditEntry { version, at, actor, action, kind, name, detail, .. } = &change.audit;
    assert_eq!((*version, *at, actor.as_str()), (2, 1000, "test"));
    assert_eq!((action.as_str(), kind.as_str(), name.as_str()), ("add", "key", "web"));
    assert_eq!(detail["source"], "shop");
    assert!(!serde_json::to_string(&change.audit).unwrap().contains("hash of"));
}

#[test]
fn each_identity_may_do_what_it_is_for() {
    let rights = |kind: IdentityKind| {
        let stored = Identity {
            id: String::new(),
            name: String::new(),
            created_at: 0,
            created_by: String::new(),
            expires_at: None,
            revoked_at: None,
            kind,
        };
        stored.rights().map(|rights| {
            let all = Permission::ALL.into_iter().filter(|it| rights.permissions.has(*it));
            (all.map(Permission::name).collect::<Vec<_>>().join(" "), rights.sight)
        })
    };
    let is = |all: &str, sight| Some((all.to_owned(), sight));
    assert_eq!(rights(key("web")), None, "a key reads nothing");
    assert_eq!(rights(user(Role::Viewer)), is("numbers", Sight::NoMoney));
    assert_eq!(
        rights(user(Role::Analyst)),
        is("numbers letters metrics events marks", Sight::NoMoney)
    );
    let all = is("numbers letters metrics access events marks", Sight::Everything);
    assert_eq!(rights(user(Role::Admin)), all);
    assert_eq!(rights(token(&[Permission::Metrics], true)), is("metrics", Sight::Everything));
    assert_eq!(rights(link()), is("numbers", Sight::NoMoney));
}

#[test]
fn an_identity_is_kept_as_json() {
    let book = with(&Book::default(), "web", key("web"));
    let identity = book.named("key", "web").unwrap();
    let text = serde_json::to_string(identity).unwrap();
    assert!(text.contains(r#""kind":"key""#), "{text}");
    assert_eq!(&serde_json::from_str::<Identity>(&text).unwrap(), identity);
}

#[test]
fn what_a_provider_says_of_a_role_holds_also_for_its_last_admin() {
    let who = OidcSubject { issuer: "https://id.example".to_owned(), subject: "1".to_owned() };
    let signs_in = |book: &Book, role| {
        book.sign_in_elsewhere(BY, &who, role, ("0123456789ab", "alice")).unwrap()
    };
    let book = Book::default();
    let book = applied(&book, signs_in(&book, Role::Admin).expect("she is new"));
    assert_eq!(signs_in(&book, Role::Admin), None, "nothing has changed");
    let book = applied(&book, signs_in(&book, Role::Viewer).expect("another role"));
    assert_eq!(book.elsewhere(&who).unwrap().as_user().unwrap().role, Role::Viewer);
    // Whom the provider makes an admin does not stand in for one who has a password here.
    let book = applied(&book, signs_in(&book, Role::Admin).expect("another role"));
    let book = applied(&book, book.add(BY, new("root", user(Role::Admin))).unwrap());
    assert_eq!(book.revoke(BY, "user", "root"), Err(AccessFault::LastAdmin));
    assert!(book.revoke(BY, "user", "alice").is_ok());
}

#[test]
fn a_name_is_never_taken_for_the_id_of_somebody_else() {
    let named = |name: &str| Book::default().add(BY, new(name, user(Role::Viewer)));
    assert!(matches!(named("a1b2c3d4e5f6"), Err(AccessFault::Invalid(_))));
    assert!(named("a1b2c3d4e5f").is_ok() && named("alice-a1b2c3").is_ok());
}
