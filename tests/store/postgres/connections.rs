//! Connections to Postgres: credentials, PgBouncer, TLS.

use floodmark::store::{self, Written};

use super::{config, kind, open};
use crate::{
    backend::node,
    support::{
        batches::{Event, batch, dead_letter, event, seal},
        ledger::sum_of,
        pgbouncer::PgBouncer,
        postgres::{PASSWORD, Postgres, USER},
        process,
    },
};
use floodmark::sink::SinkErrorKind;

#[tokio::test]
async fn credentials_are_refused_found_and_changed() {
    let postgres = Postgres::start();
    let wrong = open(postgres.url_with(USER, "wrong", postgres.port())).await;
    let error = wrong.info.check().await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Denied, "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
    assert_eq!(kind(wrong.batches.write(&batch(node(1), 1, 1)).await), SinkErrorKind::Denied);

    // This user may connect and do nothing else.
    postgres.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'").await;
    let guest = open(postgres.url_with("guest", "guest", postgres.port())).await;
    let error = guest.info.check().await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Denied, "{error}");
    assert_eq!(kind(guest.batches.write(&batch(node(1), 1, 1)).await), SinkErrorKind::Denied);

    // The password is read from a file, which changes together with the password.
    let passfile = postgres.folder().join("pass file");
    let write_password = |password: &str| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&passfile, format!("127.0.0.1:*:*:{USER}:{password}\n")).unwrap();
        std::fs::set_permissions(&passfile, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    write_password(PASSWORD);
    let url = format!(
        "postgres://{USER}@127.0.0.1:{}/postgres?passfile={}",
        postgres.port(),
        passfile.display().to_string().replace(' ', "%20")
    );
    let store = open(url).await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    write_password("not yet");
    postgres
        .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'floodmark'")
        .await;
    let error = loop {
        // The first attempt may use a connection that is gone without the pool knowing it yet.
        let error = store.batches.write(&batch(node(1), 2, 10)).await.unwrap_err();
        if error.kind != SinkErrorKind::Unavailable {
            break error;
        }
    };
    assert_eq!(error.kind, SinkErrorKind::Denied, "{error}");
    write_password(PASSWORD);
    store.batches.write(&batch(node(1), 2, 10)).await.unwrap();
}

#[tokio::test]
async fn pgbouncer_in_transaction_mode_may_sit_between() {
    let postgres = Postgres::start();
    let bouncer = PgBouncer::start(&postgres, 2);
    let url = postgres.url_with(USER, PASSWORD, bouncer.port());
    // Two servers with four lanes each share two connections.
    let nodes = (1..=2).map(|n| {
        let url = url.clone();
        tokio::spawn(async move {
            let store = open(url).await;
            let lanes = (1..=4u64).map(|lane| {
                let store = store.clone();
                async move {
                    for round in 0..10 {
                        let mut sealed = batch(node(n), round * 4 + lane, 50);
                        if round == 5 {
                            sealed.dead_letters.push(dead_letter(lane));
                        }
                        store.batches.write(&sealed).await.unwrap();
                        assert_eq!(
                            store.batches.write(&sealed).await.unwrap(),
                            Written::AlreadyStored
                        );
                    }
                }
            });
            futures_util::future::join_all(lanes).await;
            store.info.check().await.unwrap();
            assert_eq!(sum_of(&*store.ledger, 0, 0).await.unwrap().lanes[0].last[&node(n)], 40);
        })
    });
    for node in futures_util::future::join_all(nodes).await {
        node.unwrap();
    }
    // A row that Postgres refuses is handled through PgBouncer as well.
    let store = open(url.clone()).await;
    let mut events: Vec<Event> = (0..20).map(event).collect();
    events[7].properties = r#"{"nul":"\u0000"}"#.to_owned();
    let written = store.batches.write(&seal(node(1), 41, &events)).await.unwrap();
    assert_eq!(written, Written::Stored { events: 19, poisoned: 1 });
    let left = postgres
        .sql("SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'")
        .await;
    assert_eq!(left, [["0"]]);

    let totals = store.info.totals().await.unwrap();
    assert_eq!((totals.events, totals.dead_letters), (4_019, 9));
    let denied = open(postgres.url_with(USER, "wrong", bouncer.port())).await;
    let error = denied.info.check().await.unwrap_err();
    assert_eq!(error.kind, SinkErrorKind::Denied, "{error}");
}

#[tokio::test]
async fn tls_is_as_strict_as_sslmode_says() {
    let mut postgres = Postgres::start();
    postgres.stop_immediate();
    let openssl = process::find("openssl", &[], "apt-get install openssl");
    let certificate = |name: &str, host: &str| {
        let path = |end: &str| postgres.folder().join(format!("{name}.{end}"));
        process::run(
            process::command(&openssl)
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(["-subj", "/CN=floodmark", "-addext", &format!("subjectAltName={host}")])
                .arg("-keyout")
                .arg(path("key"))
                .arg("-out")
                .arg(path("crt")),
        );
        path("crt")
    };
    let ours = certificate("ours", "DNS:localhost");
    let other = certificate("other", "DNS:localhost");
    postgres.configure(&format!(
        "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'",
        ours.display(),
        ours.with_extension("key").display()
    ));
    postgres.start_again();
    let check = async |host: &str, query: String| {
        let url = postgres.url().replace("127.0.0.1", host);
        let store = store::open(&config(format!("{url}?{query}"))).await?;
        store.info.check().await
    };
    let (ours, other) = (ours.display(), other.display());
    for (host, query) in [
        ("127.0.0.1", "sslmode=disable".to_owned()),
        ("127.0.0.1", "sslmode=prefer".to_owned()),
        ("127.0.0.1", "sslmode=require".to_owned()),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours}")),
    ] {
        check(host, query.clone()).await.unwrap_or_else(|e| panic!("{query}: {e}"));
    }
    for (host, query) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ours}")),
        ("localhost", format!("sslmode=verify-full&sslrootcert={other}")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}")),
        ("localhost", "sslmode=verify-full&sslrootcert=system".to_owned()),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere".to_owned()),
    ] {
        let error = check(host, query.clone()).await.expect_err(&query);
        assert_eq!(error.kind, SinkErrorKind::Other, "{query}: {error}");
    }
    // The connection was encrypted.
    let store = open(format!("{}?sslmode=require", postgres.url())).await;
    store.batches.write(&batch(node(1), 1, 10)).await.unwrap();
    let encrypted = postgres
        .sql(
            "SELECT DISTINCT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
             WHERE a.application_name = 'floodmark'",
        )
        .await;
    assert_eq!(encrypted, [["t"]]);
}
