//! What the records of exports become. The files are those of `tests/exports/`.

use std::path::Path;

use clap::Parser;

use super::{record::ImportRecord, *};

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    args: ImportArgs,
}

/// What a file becomes: its events, what is left out, and the lines that are broken.
fn read(name: &str, flags: &[&str]) -> (Vec<serde_json::Value>, Vec<String>, Vec<(u64, String)>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports");
    let path = folder.join(name);
    let flags = flags.iter().map(|flag| flag.replace("EXPORTS", folder.to_str().unwrap()));
    let line = ["import".to_owned(), path.to_str().unwrap().to_owned()].into_iter().chain(flags);
    let args = CommandLine::parse_from(line).args;
    let config =
        Config::load(None, std::iter::empty(), &crate::config::Overrides::default()).unwrap();
    let rules = rules(&config, &args, 1_800_000_000_000).unwrap();
    let map = args.map.as_deref().map(ColumnMap::read).transpose().unwrap();
    let file = ExportFile::recognise(&path, args.format, map.as_ref()).unwrap();
    let (mut records, mut out) = (file.read().unwrap(), Vec::new());
    while records.next(&rules, &mut out).unwrap() {}
    let (mut events, mut left_out, mut broken) = (Vec::new(), Vec::new(), Vec::new());
    for record in out {
        match record {
            ImportRecord::Event(event) => events.push(serde_json::from_str(&event.json).unwrap()),
            ImportRecord::LeftOut { why } => left_out.push(why),
            ImportRecord::Broken { line, why } => broken.push((line, why)),
        }
    }
    (events, left_out, broken)
}

fn ids(events: &[serde_json::Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[test]
fn an_order_of_shopify_is_one_event_however_many_rows_it_has() {
    let (events, left_out, broken) = read("shopify.csv", &[]);
    assert_eq!(ids(&events), ["order:5001", "order:5002", "order:5003"]);
    let first = &events[0];
    assert_eq!(first["type"], "purchase");
    assert_eq!(first["timestamp"], 1_764_338_400_000_i64);
    assert_eq!(first["properties"]["amount"], "59.97");
    assert_eq!(first["properties"]["items"], "3");
    assert_eq!(first["properties"]["country"], "DE");
    assert!(!first.to_string().contains("@example.com"), "nobody's address is kept: {first}");
    assert_eq!(
        left_out,
        ["a refund, of which this export does not say when it was", "not paid: pending"]
    );
    assert_eq!(broken, [(6, "the amount \"12,5\" is not a decimal number".to_owned())]);
}

#[test]
fn payments_of_stripe_and_their_refunds() {
    let (events, left_out, broken) = read("stripe.csv", &[]);
    assert_eq!(ids(&events), ["order:1001", "order:pi_2", "refund:ch_2"]);
    assert_eq!(events[1]["properties"]["amount"], "1234.50");
    assert_eq!(events[2]["timestamp"], 1_764_424_800_000_i64);
    assert_eq!((left_out.len(), broken.len()), (2, 0), "{left_out:?} {broken:?}");
}

#[test]
fn orders_of_woocommerce_are_of_the_zone_that_is_named() {
    let (events, left_out, _) = read("woocommerce.csv", &["--timezone", "Europe/Berlin"]);
    assert_eq!(ids(&events), ["order:701", "order:702"]);
    assert_eq!(events[0]["timestamp"], 1_764_338_400_000_i64);
    assert_eq!(
        (&events[0]["userId"], &events[1]["userId"]),
        (&"17".into(), &serde_json::Value::Null)
    );
    assert_eq!(left_out, ["not paid: on-hold"]);
    let (events, ..) = read("woocommerce-analytics.csv", &["--currency", "eur"]);
    assert_eq!(ids(&events), ["order:801"]);
    assert_eq!(events[0]["properties"]["currency"], "EUR");
}

#[test]
fn events_of_analytics_become_what_those_of_their_sdks_do() {
    let (events, _, broken) = read("ga4.ndjson", &[]);
    assert_eq!(broken, []);
    assert_eq!(
        (&events[0]["type"], &events[0]["properties"]["path"]),
        (&"page_view".into(), &"/mug".into())
    );
    assert_eq!(events[0]["sessionId"], "111.222.7");
    assert_eq!(ids(&events)[1], "order:2001");
    assert_eq!(events[1]["properties"]["amount"], "59.97");
    for (name, order) in [
        ("posthog.ndjson", "order:2002"),
        ("posthog.csv", "order:2002"),
        ("mixpanel.ndjson", "order:2003"),
    ] {
        let (events, _, broken) = read(name, &[]);
        assert_eq!(broken, [], "{name}");
        assert_eq!((&events[0]["type"], ids(&events)[1]), (&"page_view".into(), order), "{name}");
        assert_eq!(events[1]["properties"]["amount"], "25", "{name}");
    }
    let (events, ..) = read("umami.csv", &[]);
    assert_eq!(ids(&events), ["e-1", "e-2"]);
    assert_eq!((&events[0]["type"], &events[1]["type"]), (&"page_view".into(), &"signup".into()));
    assert_eq!(events[0]["timestamp"], 1_764_338_400_000_i64);
}

#[test]
fn a_record_without_an_id_gets_the_same_one_each_time() {
    let (once, _, broken) = read("native.ndjson", &[]);
    assert_eq!(once, read("native.ndjson", &[]).0);
    assert_eq!(ids(&once)[0], "order:3001");
    assert!(ids(&once)[1].starts_with("native:"), "{once:?}");
    assert_eq!(broken.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn any_csv_with_a_map() {
    let (events, _, broken) = read("own.csv", &["--map", "EXPORTS/own.toml"]);
    assert_eq!(ids(&events), ["order:B-1", "order:B-2"]);
    assert_eq!(events[0]["properties"]["amount"], "1234.50");
    assert_eq!(events[0]["properties"]["land"], "DE");
    assert_eq!(events[0]["timestamp"], 1_764_338_400_000_i64);
    assert_eq!(broken, [(4, "\"gestern\" is no moment".to_owned())]);
}

#[test]
fn what_is_outside_of_the_span_is_left_out() {
    let (events, left_out, _) =
        read("stripe.csv", &["--from", "2025-11-28", "--until", "2025-11-29"]);
    assert_eq!(ids(&events), ["order:1001", "order:pi_2"]);
    assert!(left_out.contains(&"not older than --until".to_owned()), "{left_out:?}");
}

#[test]
fn a_file_that_is_cut_short_is_no_shorter_file() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("orders.csv.gz");
    let mut whole = String::from("Name,Financial Status,Total,Created at,Id\n");
    for n in 0..5_000 {
        whole += &format!("#{n},paid,{n}.50,2025-11-28 09:00:00 -0500,{n}\n");
    }
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(whole.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    std::fs::write(&path, &packed[..packed.len() / 2]).unwrap();
    let args = CommandLine::parse_from(["import", path.to_str().unwrap()]).args;
    let rules = rules(&Config::default(), &args, 1_800_000_000_000).unwrap();
    let file = ExportFile::recognise(&path, None, None).unwrap();
    let (mut records, mut out) = (file.read().unwrap(), Vec::new());
    let end = loop {
        match records.next(&rules, &mut out) {
            Ok(true) => {}
            end => break end,
        }
    };
    assert!(out.len() > 10, "some could be read");
    assert!(end.unwrap_err().contains("the rest can't be read"));
}

#[test]
fn a_decimal_comma_makes_no_amount_a_hundred_times_as_large() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own.csv");
    let rows = [
        "1;28.11.2025 15:00;1.234,50;DE",
        "2;28.11.2025 15:00;19.99;DE",
        "3;28.11.2025 15:00;12,5;DE",
    ];
    std::fs::write(&own, format!("Bestellung;Datum;Summe;Land\n{}\n", rows.join("\n"))).unwrap();
    let (events, _, broken) = read(own.to_str().unwrap(), &["--map", "EXPORTS/own.toml"]);
    let amounts: Vec<_> = events.iter().map(|it| it["properties"]["amount"].clone()).collect();
    assert_eq!(amounts, ["1234.50", "12.5"]);
    assert_eq!(broken.len(), 1, "19.99 has no comma, so nobody knows what it is: {broken:?}");
}
