//! What pages of a shop load and ask for: the tracker's script, and the pixel. That the script works in a
//! browser is tested in `dashboard/test/tracker.e2e.test.mjs`.

use std::io::Read;

use crate::{
    door::ask,
    support::{client::Answer, server::Server},
};

const SCRIPT: &str = "/floodmark.js";

/// A server with a public key, for the pages of one origin.
fn shop(settings: &str) -> Server {
    Server::with_config(&format!(
        "{settings}\n[[source]]\nname = \"web\"\nkey = \"web-key\"\npublic = true\n\
         allowed_origins = [\"https://shop.example\"]"
    ))
}

fn pixel(server: &Server, query: &str) -> Answer {
    ask(server, "GET", &format!("/v1/pixel.gif?{query}"), &[], "")
}

#[test]
fn pages_of_any_site_load_the_script_small_and_by_any_name() {
    let server = Server::start();
    let get = |encodings: &str| {
        let headers = [("Host", "events.example"), ("Accept-Encoding", encodings)];
        ask(&server, "GET", SCRIPT, &headers, "")
    };
    let plain = get("identity");
    let packed = get("gzip, deflate, br, zstd");
    let zipped = get("gzip, deflate");
    for answer in [&plain, &packed, &zipped] {
        assert_eq!(answer.status, 200);
        for (name, value) in [
            ("content-type", "text/javascript; charset=utf-8"),
            ("cache-control", "public, max-age=3600, stale-while-revalidate=86400"),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        let varies = answer.header("vary").unwrap_or_default().to_ascii_lowercase();
        assert!(varies.contains("accept-encoding"), "{varies}");
    }
    let encodings = [&plain, &packed, &zipped].map(|answer| answer.header("content-encoding"));
    assert_eq!(encodings, [None, Some("br"), Some("gzip")]);
    assert!(packed.body.len() < 2_000, "{} bytes", packed.body.len());
    let mut unpacked = Vec::new();
    brotli::Decompressor::new(&packed.body[..], 4096).read_to_end(&mut unpacked).expect("brotli");
    assert_eq!(unpacked, plain.body);
    unpacked.clear();
    flate2::read::GzDecoder::new(&zipped.body[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, plain.body);

    let tag = packed.header("etag").expect("a tag").to_owned();
    let again = |tag: &str| ask(&server, "GET", SCRIPT, &[("If-None-Match", tag)], "");
    assert_eq!((again(&tag).status, again(&tag).body.len()), (304, 0));
    assert_eq!(again("W/\"other\"").status, 200);
    assert_eq!(ask(&server, "HEAD", SCRIPT, &[], "").status, 200);
}

#[test]
fn a_pixel_is_an_event_and_always_an_image() {
    let server = shop("");
    let good = pixel(&server, "key=web-key&type=page_view&path=%2Fm%C3%BCg&id=p1&sessionId=s1");
    let again = pixel(&server, "key=web-key&type=page_view&path=%2Fm%C3%BCg&id=p1&sessionId=s1");
    let order = pixel(&server, "key=web-key&type=purchase&amount=19.99&currency=USD&userId=u1");
    let late = pixel(&server, "key=web-key&timestamp=never");
    let bad = pixel(&server, "key=web-key&type=purchase&note=mark");
    let nobody = pixel(&server, "key=guessed&type=page_view");
    let elsewhere = [("Origin", "https://other.example")];
    let elsewhere = ask(&server, "GET", "/v1/pixel.gif?key=web-key", &elsewhere, "");
    let answers = [&good, &again, &order, &late, &bad, &nobody, &elsewhere];
    assert_eq!(answers.map(|answer| answer.status), [200, 200, 200, 422, 422, 401, 403]);
    for answer in answers {
        assert!(answer.body.starts_with(b"GIF89a") && answer.body.len() == 42, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("image/gif"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("cross-origin"));
    }
    assert_eq!(ask(&server, "POST", "/v1/pixel.gif?key=web-key", &[], "").status, 405);

    server.until("the good ones are counted", |server| server.current()["purchases"] == 1);
    assert_eq!(server.current()["revenue"].to_string(), "19.99");
    server.until("they are stored", |server| server.count("events") == 2);
    let row = "SELECT type || ' ' || coalesce(session_id, '') || ' ' || properties || ' ' || source || ' ' \
               || dialect FROM events WHERE id = 'p1'";
    let row: String = server.database().query_row(row, [], |row| row.get(0)).unwrap();
    assert_eq!(row, r#"page_view s1 {"path":"/müg"} web pixel"#);
    server.until("the bad ones are kept", |server| server.count("dead_letters") == 2);
    let letter =
        "SELECT raw || ' ' || code || ' ' || event FROM dead_letters WHERE raw LIKE '%mark%'";
    let letter: String = server.database().query_row(letter, [], |row| row.get(0)).unwrap();
    assert!(letter.starts_with("type=purchase&note=mark invalid_amount {"), "{letter}");
    assert!(!letter.contains("web-key"), "{letter}");
}

#[test]
fn a_pixel_that_comes_too_often_is_told_so() {
    let server = shop("http.client_events_per_s = 1");
    let answers: Vec<Answer> = (0..20).map(|_| pixel(&server, "key=web-key")).collect();
    let refused = answers.iter().find(|answer| answer.status == 429).expect("one too many");
    assert!(refused.header("retry-after").is_some() && refused.body.starts_with(b"GIF89a"));
}
