//! Tests of the layers: what wins, what is refused, and the words and places of mistakes.

use std::io::Write;

use super::*;

fn load(file: &str, variables: &[(&str, &str)], flags: &Overrides) -> Result<Config, String> {
    let mut toml = tempfile::NamedTempFile::new().unwrap();
    toml.write_all(file.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| (name.to_string(), value.to_string()));
    let path = toml.path();
    Config::load(Some(path), variables, flags)
        .map_err(|e| e.to_string().replace(path.to_str().unwrap(), "FILE"))
}

fn refused(file: &str, variables: &[(&str, &str)]) -> String {
    load(file, variables, &Overrides::default()).expect_err("must be refused")
}

#[test]
fn nothing_set_is_the_default() {
    let config = Config::load(None, std::iter::empty(), &Overrides::default()).unwrap();
    assert_eq!(config.listen, "127.0.0.1:8080");
    assert_eq!(config.stream.tick_ms, 200);
    assert!(config.postgres.url.is_empty());
}

#[test]
fn each_layer_lies_over_the_one_before() {
    let file = "
        listen = '127.0.0.1:1111'
        data_dir = 'of-file'
        redis.urls = ['redis://of-file']
        [batch]
        max_events = 1_000
        flush_interval_ms = 0x10
        [spool]
        max_bytes = 1_000_000_000
    ";
    let variables = [
        ("FLOODMARK_LISTEN", "127.0.0.1:2222"),
        ("FLOODMARK_DATA_DIR", "of variable"),
        ("FLOODMARK_BATCH__MAX_EVENTS", "2000"),
        ("FLOODMARK_AUTH__INSECURE", "true"),
        ("PATH", "/bin"),
    ];
    let flags = Overrides {
        listen: Some("127.0.0.1:3333".to_owned()),
        redis: vec!["redis://a".to_owned(), "redis://b".to_owned()],
        ..Overrides::default()
    };
    let config = load(file, &variables, &flags).unwrap();
    assert_eq!(config.listen, "127.0.0.1:3333");
    assert_eq!(config.data_dir, Path::new("of variable"));
    assert_eq!(config.batch.max_events, 2000);
    assert_eq!(config.batch.flush_interval_ms, 16);
    assert_eq!(config.spool.max_bytes, 1_000_000_000);
    assert_eq!(config.redis.urls, ["redis://a", "redis://b"]);
    assert!(config.auth.insecure);
    assert_eq!(config.batch.max_bytes, Config::default().batch.max_bytes);
}

#[test]
fn a_list_is_comma_separated_or_toml() {
    let keys = |text| {
        let variables = [("FLOODMARK_AUTH__WRITE_KEYS", text)];
        let config = load("", &variables, &Overrides::default()).unwrap();
        config.auth.write_keys
    };
    assert_eq!(keys("one, two,"), ["one", "two"]);
    assert_eq!(keys(r#"["with,comma", "two"]"#), ["with,comma", "two"]);
    assert!(keys("").is_empty());
}

#[test]
fn an_unknown_key_of_the_file_is_named_with_its_line_and_the_nearest() {
    assert_eq!(
        refused("listne = 'x'\n[postgres]\nurl = ''\nuri = 'y'\n", &[]),
        "FILE:1: unknown key \"listne\"; the nearest known one is \"listen\"\n\
         FILE:4: unknown key \"postgres.uri\"; the nearest known one is \"postgres.url\""
    );
    // The right name in the wrong section, and a section that isn't there.
    assert_eq!(
        refused("max_viewers = 5\n\n[strem]\ntick_ms = 1\n", &[]),
        "FILE:1: unknown key \"max_viewers\"; the nearest known one is \"stream.max_viewers\"\n\
         FILE:3: unknown key \"strem\"; the nearest known one is \"stream\""
    );
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest() {
    assert_eq!(
        refused(
            "",
            &[
                ("FLOODMARK_POSTGRES_URL", "postgres://u:secret@h/d"),
                ("FLOODMARK_STREAM__TICK", "1"),
                ("FLOODMARK_LOGLEVEL", "info"),
            ]
        ),
        "FLOODMARK_LOGLEVEL: unknown variable; the nearest known one is FLOODMARK_LOG__LEVEL\n\
         FLOODMARK_POSTGRES_URL: unknown variable; the nearest known one is \
         FLOODMARK_POSTGRES__URL\n\
         FLOODMARK_STREAM__TICK: unknown variable; the nearest known one is \
         FLOODMARK_STREAM__TICK_MS"
    );
}

#[test]
fn names_that_are_not_ours_are_left_alone() {
    let variables = [
        ("FLOODMARK_BIN", "target/debug/floodmark"),
        ("FLOODMARK_SERVICE_HOST", "10.0.0.1"),
        ("FLOODMARK_SERVICE_PORT", "8080"),
        ("FLOODMARK_SERVICE_PORT_HTTP", "8080"),
        ("FLOODMARK_PORT", "tcp://10.0.0.1:8080"),
        ("FLOODMARK_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("FLOODMARK_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("FLOODMARK_REDIS_SERVICE_HOST", "10.0.0.2"),
        ("FLOODMARKING", "1"),
    ];
    load("", &variables, &Overrides::default()).unwrap();
    assert!(refused("", &[("FLOODMARK_PORT_NAME", "1")]).contains("unknown variable"));
}

#[test]
fn a_wrong_type_is_named_with_what_it_must_be_and_what_it_is() {
    let file = "
listen = 8080
postgres = 'postgres://localhost'
[batch]
max_events = 'many'
flush_interval_ms = -1
max_bytes = 1.5
[auth]
write_keys = 'secret'
insecure = 'yes'
[stream]
allowed_origins = [1]
";
    assert_eq!(
        refused(file, &[]),
        "FILE:2: listen must be a string, not 8080\n\
         FILE:3: postgres must be a section, [postgres], not the string \
         \"postgres://localhost\"\n\
         FILE:5: batch.max_events must be a whole number, 0 or more, not the string \"many\"\n\
         FILE:6: batch.flush_interval_ms must be a whole number, 0 or more, not -1\n\
         FILE:7: batch.max_bytes must be a whole number, 0 or more, not 1.5\n\
         FILE:9: auth.write_keys must be a list of strings, not a string\n\
         FILE:10: auth.insecure must be true or false, not the string \"yes\"\n\
         FILE:12: stream.allowed_origins must be a list of strings, not a list that holds \
         other things"
    );
    assert_eq!(
        refused(
            "",
            &[
                ("FLOODMARK_BATCH__MAX_EVENTS", "5k"),
                ("FLOODMARK_AUTH__INSECURE", "1"),
                ("FLOODMARK_HTTP__WORKERS", ""),
            ]
        ),
        "FLOODMARK_AUTH__INSECURE: auth.insecure must be true or false, not 1\n\
         FLOODMARK_BATCH__MAX_EVENTS: batch.max_events must be a whole number, 0 or more, \
         not the string \"5k\"\n\
         FLOODMARK_HTTP__WORKERS: http.workers must be a whole number, 0 or more, \
         not the string \"\""
    );
}

#[test]
fn what_is_not_toml_is_named_with_its_line() {
    let message = refused("listen = 'a'\n\n[batch\n", &[]);
    assert!(message.starts_with("FILE:3: "), "{message}");
    let missing = Config::load(
        Some(Path::new("/nowhere/floodmark.toml")),
        std::iter::empty(),
        &Overrides::default(),
    );
    assert_eq!(
        missing.unwrap_err().to_string(),
        "can't read the configuration file /nowhere/floodmark.toml: \
         No such file or directory (os error 2)"
    );
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for (key, value) in Layers::new().values {
        let text = match value {
            Value::String(text) => text,
            Value::Array(items) => {
                assert!(items.iter().all(Value::is_str), "{key}");
                String::new()
            }
            value => value.to_string(),
        };
        let name = variable_name(&key);
        load("", &[(&name, &text)], &Overrides::default())
            .unwrap_or_else(|e| panic!("{name}={text}: {e}"));
    }
}

#[test]
fn an_alert_that_cannot_be_used_is_named_with_its_line_and_secrets_are_not_shown() {
    let alert = |more: &str| {
        refused(&format!("\n[[alert]]\nname = \"a\"\nmetric = \"errors\"\n{more}\n"), &[])
    };
    for (more, why) in [
        ("", "needs one of above, below, rises, falls"),
        ("above = 1\nfalls = 0.5", "make two alerts"),
        ("rises = 2.0", "against: rises, falls and while_holds need last_hour"),
        ("above = 1\nwindow = \"5s\"", "window: must be 10s to 1h"),
        ("above = 1\nwindow = \"soon\"", "is no span such as 10s, 5m or 1h"),
        ("above = 1\nexplain = [\"error/nothing\"]", "no [[breakdown]] \"error/nothing\""),
        ("above = 1\nsilence = \"22-6\"", "is no stretch of the day"),
        ("above = 1\nwhile = \"page_views\"", "goes with while_above or while_holds"),
        ("above = 1\nabov = 1", "unknown field `abov`"),
    ] {
        let said = alert(more);
        assert!(said.contains(why) && said.contains("[[alert]]"), "{more}: {said}");
        assert!(said.contains("FILE:"), "with its line: {said}");
    }
    let day_only = "[[alert]]\nname = \"a\"\nmetric = \"conversion\"\nbelow = 0.01";
    assert!(refused(day_only, &[]).contains("known by day only"));
    let money = "[[alert]]\nname = \"a\"\nmetric = \"revenue\"\nfalls = 0.5\n\
                 against = \"last_hour\"\nsigma = 3.0";
    assert!(refused(money, &[]).contains("no count of events"));

    let webhook = "[[webhook]]\nname = \"w\"\nurl = \"ftp://x/SECRET\"\nsecret = \"SECRET\"";
    let said = refused(webhook, &[]);
    assert!(said.contains("must be http://") && !said.contains("SECRET"), "{said}");
    let said = refused("[[webhook]]\nname = \"w\"\nsecret = 5551234", &[]);
    assert!(said.contains("must be text") && !said.contains("5551234"), "{said}");
    let fine = "[[webhook]]\nname = \"w\"\nurl = \"https://x/SECRET\"\nsecret = \"SECRET\"\n\
                [[alert]]\nname = \"traffic_surge\"\noff = true";
    let config = load(fine, &[], &Overrides::default()).unwrap();
    assert!(!format!("{config:?}").contains("SECRET"), "not in logs either");
    assert_eq!(config.rules.alerts.webhooks[0].place(), "https://x");
    assert!(config.rules.alerts.alert("traffic_surge").is_none());
}

#[test]
fn a_webhooks_secrets_come_from_variables() {
    let webhook = |url: &str, secret: &str| {
        format!(
            "listen = '127.0.0.1:1'\n[[webhook]]\nname = 'w'\nurl = '{url}'\nsecret = '{secret}'\n"
        )
    };
    let variables = [("SHOP_HOOK", "https://x/TOKEN"), ("KEY", "HUSH"), ("NONE", "")];
    let file = webhook("${SHOP_HOOK}/and?more", "a$${b}${KEY}$c");
    let config = load(&file, &variables, &Overrides::default()).unwrap();
    let found = &config.rules.alerts.webhooks[0];
    assert_eq!((&*found.url.0, &*found.secret.0), ("https://x/TOKEN/and?more", "a${b}HUSH$c"));
    assert!(!format!("{config:?}").contains("TOKEN") && !format!("{config:?}").contains("HUSH"));

    for (url, secret, why) in [
        ("${SHOP_HOOK}", "${KEI}", "w: secret: the variable KEI is not set"),
        ("${NONE}", "", "w: url: the variable NONE is empty"),
        ("https://x/${SHOP_HOOK", "", "w: url: a ${ without its }"),
        ("https://x/", "HUSH${HU SH}", "w: secret: between ${ and } stands no variable"),
        ("${KEY}", "", "url: must be http://"),
    ] {
        let said = refused(&webhook(url, secret), &variables);
        assert!(said.contains("FILE:2: [[webhook]]") && said.contains(why), "{said}");
        assert!(!said.contains("TOKEN") && !said.contains("HU"), "{said}");
    }
    // A webhook that is switched off needs no variable.
    let off = "[[webhook]]\nname = 'w'\nurl = '${NOT_SET}'\noff = true";
    assert!(load(off, &[], &Overrides::default()).unwrap().rules.alerts.webhooks.is_empty());
}

/// Rules of which each has a mistake.
const WRONG_RULES: &str = "listen = '127.0.0.1:1'
[[metric]]
name = 'Big Orders'
kind = 'count'
event = 'purchase'
[[metric]]
name = 'a'
kind = 'count'
event = 'purchase'
wher = { amount = '>5' }
[[metric]]
name = 'b'
kind = 'sum'
event = 'purchase'
[[metric]]
name = 'c'
kind = 'ratio'
of = 'purchases'
per = 'later'
[[metric]]
name = 'd'
kind = 'count'
event = ['*', 'x']
[[metric]]
name = 'e'
kind = 'count'
event = 'x'
where = { amount = '>a lot' }
[[metric]]
name = 'f'
kind = 'difference'
of = 'revenue'
minus = 'purchases'
[[metric]]
name = 'g'
kind = 'ratio'
of = 'error_rate'
per = 'purchases'
[[breakdown]]
event = 'x'
property = 'y'
top = 101
[rates]
USD = 1
EUR = 'much'
GBP = true";

#[test]
fn a_rule_that_is_wrong_is_told_with_its_line() {
    let told = refused(WRONG_RULES, &[]);
    for line in [
        "FILE:10: [[metric]]: unknown field `wher`",
        "FILE:2: [[metric]]: name \"Big Orders\": 1 to 64 characters of a-z 0-9 _",
        "FILE:11: [[metric]]: \"b\" needs property",
        "FILE:15: [[metric]]: no metric \"later\" stands before \"c\"",
        "FILE:20: [[metric]]: \"*\" is every type; name it alone",
        "FILE:24: [[metric]]: \">a lot\" compares with no number",
        "FILE:29: [[metric]]: \"f\" takes money from numbers or the reverse",
        "FILE:34: [[metric]]: \"error_rate\" is a ratio, which can't be added up",
        "FILE:39: [[breakdown]]: top: must be 1 to 100",
        "FILE:44: rates.USD: USD is the base currency",
        "FILE:45: rates.EUR: \"much\" is no rate",
        "FILE:46: rates.GBP: must be a number",
    ] {
        assert!(told.contains(line), "no {line:?} in:\n{told}");
    }
}

#[test]
fn rules_are_laid_over_each_other_by_name() {
    let config = load(
        "[[metric]]
name = 'signups'
kind = 'count'
event = 'registered'
[[metric]]
name = 'refunds'
kind = 'sum'
event = 'refund'
property = 'amount'
money = true
off = true
[[metric]]
name = 'net_revenue'
kind = 'difference'
of = 'revenue'
minus = 'refunds'
off = true
[[breakdown]]
event = 'error'
property = 'code'
top = 3",
        &[],
        &Overrides::default(),
    )
    .unwrap();
    let metric_set = config.rules.metric_set;
    let names: Vec<&str> = metric_set.metrics().iter().map(|m| m.name.as_str()).collect();
    assert!(!names.contains(&"refunds") && !names.contains(&"net_revenue"), "{names:?}");
    assert!(names.contains(&"revenue"), "{names:?}");
    assert!(metric_set.own_plan("registered").is_some());
    let codes = metric_set.breakdowns().iter().find(|b| b.name == "error/code");
    assert_eq!(codes.unwrap().top, 3);
    // Another metric is made of the one that is switched off.
    let told =
        refused("[[metric]]\nname = 'refunds'\nkind = 'count'\nevent = 'x'\noff = true", &[]);
    assert!(told.contains("no metric \"refunds\" stands before \"net_revenue\""), "{told}");
}
