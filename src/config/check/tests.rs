//! What a configuration must be as a whole.

use super::*;
use crate::config::Overrides;

fn problems(change: impl FnOnce(&mut Config)) -> String {
    let mut config = Config::default();
    change(&mut config);
    match config.check() {
        Ok(()) => String::new(),
        Err(e) => e.to_string(),
    }
}

#[test]
fn the_default_is_fine() {
    assert_eq!(problems(|_| ()), "");
}

#[test]
fn a_public_address_needs_keys_of_the_configuration_or_of_the_store() {
    let unlocked = |stored: (bool, bool), change: &dyn Fn(&mut Config)| {
        let mut config = Config { listen: "0.0.0.0:8080".to_owned(), ..Config::default() };
        change(&mut config);
        assert_eq!(config.check().map_err(|e| e.to_string()), Ok(()));
        config.unlocked(stored).unwrap_or_default()
    };
    assert_eq!(
        unlocked((false, false), &|_| ()),
        "listen: 0.0.0.0:8080 can be reached from other machines; set auth.write_keys \
         (FLOODMARK_AUTH__WRITE_KEYS; or `floodmark keys add`) and auth.viewer_tokens \
         (FLOODMARK_AUTH__VIEWER_TOKENS; or `floodmark users add`), or --insecure to let anyone \
         send events and see the numbers"
    );
    let key = |c: &mut Config| c.auth.write_keys = vec!["k".to_owned()];
    let half = unlocked((false, false), &key);
    assert!(half.contains("set auth.viewer_tokens (FLOODMARK_AUTH__VIEWER_TOKENS;"), "{half}");
    assert_eq!(unlocked((false, true), &key), "");
    assert_eq!(unlocked((true, true), &|_| ()), "");
    let token = |c: &mut Config| c.auth.viewer_tokens = vec!["t".to_owned()];
    assert_eq!(unlocked((true, false), &token), "");
    assert_eq!(unlocked((false, false), &|c| c.auth.insecure = true), "");
    let ops = unlocked((false, false), &|c| {
        c.listen = "127.0.0.1:80".to_owned();
        c.http.ops_listen = "0.0.0.0:9090".to_owned();
    });
    assert!(ops.starts_with("listen: 0.0.0.0:9090 can be reached"), "{ops}");
    for loopback in ["127.0.0.2:1", "[::1]:1", "localhost:0"] {
        assert_eq!(unlocked((false, false), &|c| c.listen = loopback.to_owned()), "");
    }
}

#[test]
fn a_header_timeout_is_never_shorter_than_its_clock_can_tell() {
    let message = problems(|c| c.http.header_timeout_ms = 999);
    assert!(message.contains("http.header_timeout_ms (999) must be at least 1000"));
    assert_eq!(problems(|c| c.http.header_timeout_ms = 1000), "");
}

#[test]
fn everything_wrong_is_listed_at_once() {
    assert_eq!(
        problems(|c| {
            c.listen = "8080".to_owned();
            c.timezone = "Mars/Olympus".to_owned();
            c.currency = "Euro".to_owned();
            c.log.format = "xml".to_owned();
            c.stream.tick_ms = 2000;
            c.spool.segment_bytes = c.spool.max_bytes;
            c.batch.max_events = 0;
            c.auth.write_keys = vec![" ".to_owned()];
            c.stream.allowed_origins = vec!["shop.example/".to_owned()];
        })
        .lines()
        .map(|line| line.split(" (").next().unwrap())
        .collect::<Vec<_>>(),
        [
            "listen: \"8080\" is not an address such as 127.0.0.1:8080 or 0.0.0.0:8080",
            "timezone: unknown time zone \"Mars/Olympus\": failed to find time zone \
             `Mars/Olympus` in time zone database; use a name such as Europe/Berlin",
            "currency: \"Euro\" is not a code of three letters such as EUR",
            "log.format: \"xml\" is none of auto, text, json",
            "auth: an empty write key or viewer token would let anyone in; remove it",
            "stream.allowed_origins: \"shop.example/\" is not an origin such as \
             https://shop.example",
            "batch.max_events: must be more than 0",
            "stream.tick_ms",
            "spool.segment_bytes",
        ]
    );
}

#[test]
fn the_ledger_is_kept_for_a_rebuild() {
    assert!(problems(|c| c.ledger.keep_hours = 48).contains("must be at least 49"));
    assert_eq!(problems(|c| c.ledger.keep_hours = 49), "");
    let window = problems(|c| c.live.active_window_s = 72 * 3600 + 1);
    assert!(window.contains("live.active_window_s (259201) must be at most"), "{window}");
}

#[test]
fn nodes_share_ids_only_through_redis() {
    let message = problems(|c| c.dedupe.shared = true);
    assert!(message.contains("dedupe.shared: nodes share ids through Redis"), "{message}");
    let both = problems(|c| {
        c.dedupe.shared = true;
        c.redis.urls = vec!["redis://localhost".to_owned()];
    });
    assert_eq!(both, "");
}

#[test]
fn a_url_is_never_shown() {
    let message = problems(|c| {
        c.postgres.url = "postgres://u:secret@h:port/d".to_owned();
        c.redis.urls = vec!["redis://ok".to_owned(), "http://:secret@h".to_owned()];
    });
    assert!(message.contains("postgres.url: invalid value for option `port`"), "{message}");
    assert!(message.contains("its scheme is http://"), "{message}");
    assert!(message.contains("redis.urls: number 2"), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn no_metric_looks_at_what_is_never_stored() {
    let problems = |toml: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), toml).unwrap();
        let loaded = Config::load(Some(file.path()), std::iter::empty(), &Overrides::default());
        loaded.map_or_else(|e| e.to_string(), |_| String::new())
    };
    let told = problems("privacy.never_store = ['amount', 'country', 'userId', 'email']");
    for line in [
        "[[metric]]: revenue: by privacy.never_store the property \"amount\" is never stored, so this would \
         count nothing; store it, or take this metric away (off = true)",
        "[[metric]]: refunds: by privacy.never_store the property \"amount\"",
        "[[breakdown]]: purchase: by privacy.never_store the property \"country\"",
    ] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
    // Two of them have nothing to do with any rule: the user of an event is no property.
    assert_eq!(told.matches("is never stored").count(), 3, "{told}");
    let own = "privacy.never_store = ['coupon']\n[[metric]]\nname = 'coupons'\nkind = 'count'\n\
               event = 'purchase'\nwhere = { coupon = '*' }";
    assert!(problems(own).contains("coupons: by privacy.never_store the property \"coupon\""));
    assert_eq!(problems(&format!("{own}\noff = true")), "");
    let filter =
        "[[metric]]\nname = 'inside'\nkind = 'count'\nevent = 'a'\nwhere = { client_ip = '10.*' }";
    assert!(problems(filter).contains("inside: by privacy.ip the property \"client_ip\""));
    assert_eq!(problems(&format!("privacy.ip = 'cut'\n{filter}")), "");
}
