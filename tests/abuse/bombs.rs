//! Bodies that are small on the wire and large, or slow, once they are unpacked or read.

use std::io::Write;

use flate2::{Compression, write};

use crate::victim::Victim;

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Posts it, and checks the status. Whatever it is, the answer has to come.
fn answered(victim: &Victim, what: &str, encoding: &str, body: &[u8], expected: &[u16]) {
    let headers: &[_] = match encoding {
        "" => &[],
        _ => &[("Content-Encoding", encoding)],
    };
    let answer = victim.post(headers, body);
    assert!(expected.contains(&answer.status), "{what}: {answer:?}");
}

const EVENT: &str = "{\"type\":\"page_view\"}";

#[test]
fn what_unpacks_to_more_than_it_may_is_refused() {
    let victim = Victim::start();
    let spaces = vec![b' '; 48 << 20];
    let once = gzip(&spaces);
    for (what, encoding, body, expected) in [
        ("48 MiB in gzip", "gzip", once.clone(), &[413][..]),
        ("gzip in gzip", "gzip, gzip", gzip(&gzip(&spaces)), &[413]),
        ("gzip in gzip that says so once", "gzip", gzip(&once), &[400]),
        ("three encodings", "gzip, gzip, gzip", gzip(&gzip(&gzip(&spaces))), &[415]),
        ("deflate of brackets", "deflate", deflate(&vec![b'['; 64 << 20]), &[413]),
        ("brackets within the limit", "deflate", deflate(&vec![b'['; 8 << 20]), &[400]),
        ("braces within the limit", "deflate", deflate(&b"{\"a\":".repeat(1 << 20)), &[400, 422]),
        ("zstd", "zstd", zstd::encode_all(&*spaces, 3).unwrap(), &[400, 413]),
        ("zstd in gzip", "zstd, gzip", gzip(&zstd::encode_all(&*spaces, 3).unwrap()), &[400, 413]),
    ] {
        answered(&victim, what, encoding, &body, expected);
    }
    let mut brotli = Vec::new();
    brotli::CompressorWriter::new(&mut brotli, 4096, 9, 24).write_all(&spaces).unwrap();
    answered(&victim, "brotli", "br", &brotli, &[413]);
    victim.stands();
}

#[test]
fn fifty_thousand_members_are_one_body() {
    let victim = Victim::start();
    let empty = gzip(b"");
    let many = empty.repeat((1 << 20) / empty.len());
    assert!(many.len() / empty.len() >= 50_000, "{}", empty.len());
    answered(&victim, "members of nothing", "gzip", &many, &[400]);
    let one = gzip(b" ");
    answered(&victim, "members of one byte", "gzip", &one.repeat((1 << 20) / one.len()), &[400]);
    // An event behind them is an event.
    let last = gzip(EVENT.as_bytes());
    let room = (1 << 20) - last.len();
    let hidden = [empty.repeat(room / empty.len()), last].concat();
    answered(&victim, "an event behind 50,000 members", "gzip", &hidden, &[202]);
    victim.took(1);
    victim.stands();
}

#[test]
fn windows_of_zstd_and_brotli_take_no_memory_that_is_not_there() {
    let victim = Victim::start();
    // A frame's header: the magic number, no single segment, no content size, and the window: 2^(10 + e)
    // bytes, where e is in the upper five bits.
    let frame = |exponent: u8| {
        let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3];
        // The last block, raw, of one byte.
        [&header[..], &[0x09, 0x00, 0x00, b' ']].concat()
    };
    for exponent in [14, 17, 21, 31] {
        answered(&victim, &format!("2^{}", 10 + exponent), "zstd", &frame(exponent), &[400]);
    }
    // One that says how large it is, at most.
    let sized = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0xff; 8], &[0x01, 0, 0]].concat();
    answered(&victim, "2^64 bytes", "zstd", &sized, &[400, 413]);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18][..], &u32::MAX.to_le_bytes()].concat();
    answered(&victim, "a frame that is skipped", "zstd", &skippable, &[400]);
    // A window of 2^30, as only "large window" brotli has, and rubbish.
    for rubbish in [&[0x11, 0x1e][..], &[0xff; 64], &[0; 64]] {
        answered(&victim, "brotli", "br", rubbish, &[400]);
        answered(&victim, "gzip", "gzip", rubbish, &[400]);
        answered(&victim, "deflate", "deflate", rubbish, &[400]);
    }
    victim.stands();
}

#[test]
fn texts_that_are_slow_to_read_are_answered() {
    let victim = Victim::start();
    let nested = |open: &str, close: &str, depth: usize| {
        let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
        format!("{{\"type\":\"a\",\"properties\":{{\"a\":{inner}}}}}")
    };
    let keys: String = (0..6_000).map(|n| format!("\"k{n}\":1,")).collect();
    let same = "\"a\":1,".repeat(9_000);
    let escaped: String = (0..9_000).map(|_| "\"\\u0061\":1,").collect();
    let properties = |members: &str| {
        format!("{{\"type\":\"a\",\"properties\":{{{}}}}}", members.trim_end_matches(','))
    };
    for (what, body, expected, taken) in [
        ("objects in objects", nested("{\"a\":", "}", 9_000), &[413, 422][..], 0),
        ("lists in lists", nested("[", "]", 30_000), &[413, 422], 0),
        ("6,000 keys", properties(&keys), &[202], 1),
        ("the same key 9,000 times", properties(&same), &[202], 1),
        ("the same key, escaped", properties(&escaped), &[202, 413, 422], 0),
        (
            "a number of 60,000 digits",
            properties(&format!("\"a\":{}", "9".repeat(60_000))),
            &[202, 422],
            0,
        ),
        ("a number with a huge exponent", properties("\"a\":1e999999999"), &[422], 0),
        ("a million empty lines", format!("{EVENT}\n{}{EVENT}", "\n".repeat(1_000_000)), &[202], 2),
        (
            "a text of escapes",
            properties(&format!("\"a\":\"{}\"", "\\ud800".repeat(10_000))),
            &[202],
            1,
        ),
    ] {
        let answer = victim.post(&[("Content-Type", "application/json")], body);
        assert!(expected.contains(&answer.status), "{what}: {answer:?}");
        let accepted = answer.json()["accepted"].as_u64().unwrap_or_default();
        assert!(expected != [202] || accepted == taken, "{what}: {answer:?}");
        victim.took(accepted);
    }
    // The largest request, of the most events, each as deep as it may be.
    let deep = format!("{}1{}", "{\"a\":".repeat(30), "}".repeat(30));
    let event = format!("{{\"type\":\"a\",\"properties\":{{\"a\":{deep}}}}}");
    let many = format!("[{}]", vec![event; 3_000].join(","));
    let answer = victim.post(&[("Content-Encoding", "gzip")], gzip(many.as_bytes()));
    assert_eq!(answer.status, 202, "{answer:?}");
    victim.took(3_000);
    victim.stands();
}
