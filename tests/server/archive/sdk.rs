//! What others make of the archive and of exports: DuckDB and ClickHouse read the files as they are, and a server
//! of S3 (moto) keeps them. They are programs for Python, which `./test` installs with the SDKs.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use super::*;
use crate::support::port::Port;

fn python() -> PathBuf {
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/.venv/bin/python");
    assert!(
        python.is_file(),
        "{} is missing; ./test makes it: python3 -m venv tests/sdk/.venv && tests/sdk/.venv/bin/pip install \
         -r tests/sdk/requirements.txt",
        python.display()
    );
    python
}

fn run(script: &str, args: &[&str]) -> Value {
    let output = Command::new(python()).args(["-c", script]).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// Counts and adds up by day and type, in one statement that both understand.
const DUCKDB: &str = r#"
import duckdb, json, sys
rows = duckdb.sql(f"""
    SELECT CAST(date AS VARCHAR), type, count(*), count(DISTINCT id),
           CAST(sum(CAST(json_extract(properties, '$.amount') AS DECIMAL(18, 4))) AS DOUBLE),
           CAST(min(epoch_ms(timestamp)) AS BIGINT)
    FROM read_parquet('{sys.argv[1]}/**/*.parquet', hive_partitioning = true)
    GROUP BY 1, 2 ORDER BY 1, 2""").fetchall()
print(json.dumps(rows))
"#;
const CHDB: &str = r#"
import chdb, json, sys
answer = chdb.query(f"""
    SELECT toString(date), type, toInt64(count()), toInt64(uniqExact(id)),
           toFloat64(sum(JSONExtractFloat(properties, 'amount'))),
           toInt64(min(toUnixTimestamp64Milli(timestamp)))
    FROM file('{sys.argv[1]}/**/*.parquet', Parquet)
    GROUP BY 1, 2 ORDER BY 1, 2 SETTINGS use_hive_partitioning = 1,
        output_format_json_quote_64bit_integers = 0""", "JSONCompact")
print(json.dumps(json.loads(str(answer))["data"]))
"#;

fn expected() -> Value {
    let mut rows = Vec::new();
    for back in [4, 3] {
        for kind in ["add to cart", "page_view", "purchase"] {
            let of: Vec<Value> =
                (0..A_DAY).map(|n| event(back, n)).filter(|it| it["type"] == kind).collect();
            let amount = |it: &Value| it["properties"]["amount"].as_f64().unwrap();
            let sum: f64 = of.iter().map(amount).sum();
            rows.push(json!([day(back), kind, of.len(), of.len(), sum, of[0]["timestamp"]]));
        }
    }
    json!(rows)
}

/// As [`Value`]s of two writers of JSON compare.
fn same(found: &Value) -> Value {
    let rows = found.as_array().unwrap().iter().map(|row| {
        let mut row = row.as_array().unwrap().clone();
        row[4] = json!(row[4].as_f64().unwrap());
        json!(row)
    });
    json!(rows.collect::<Vec<_>>())
}

#[test]
fn others_read_the_archive_and_exports_as_they_are() {
    let shop = Shop::new(None);
    shop.done(&["archive"]);
    let folder = shop.folder.path().to_str().unwrap();
    for script in [DUCKDB, CHDB] {
        assert_eq!(same(&run(script, &[folder])), same(&expected()));
    }
    let file = shop.folder.path().join("all.parquet");
    shop.done(&["export", "--format", "parquet", "--output", file.to_str().unwrap()]);
    let script = "import duckdb, json, sys\n\
        print(json.dumps(duckdb.sql(f\"SELECT count(*), count(DISTINCT id), count(userId) FROM '{sys.argv[1]}'\").fetchall()[0]))";
    let all = DAYS * A_DAY;
    assert_eq!(run(script, &[file.to_str().unwrap()]), json!([all, all, all]));
}

#[actix_web::test]
async fn a_bucket_is_an_archive() {
    let port = Port::free();
    let endpoint = format!("http://127.0.0.1:{}", port.number());
    let mut moto = Command::new("setpriv");
    moto.args(["--pdeathsig", "KILL"]).arg(python().with_file_name("moto_server"));
    moto.args(["-H", "127.0.0.1", "-p", &port.number().to_string()]);
    let mut moto = moto.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let make = "import boto3, json, sys, time\n\
        client = boto3.client('s3', endpoint_url=sys.argv[1], region_name='us-east-1', aws_access_key_id='key', aws_secret_access_key='secret')\n\
        for n in range(300):\n\
        \x20   try:\n\
        \x20       client.create_bucket(Bucket='shop'); break\n\
        \x20   except Exception:\n\
        \x20       time.sleep(0.1)\n\
        print(json.dumps([it['Key'] for it in client.list_objects_v2(Bucket='shop').get('Contents', [])]))";
    assert_eq!(run(make, &[&endpoint]), json!([]));
    let settings = [
        ("FLOODMARK_ARCHIVE__URL", "s3://shop/floodmark"),
        ("FLOODMARK_ARCHIVE__ENDPOINT", endpoint.as_str()),
        ("FLOODMARK_ARCHIVE__ACCESS_KEY_ID", "key"),
        ("FLOODMARK_ARCHIVE__SECRET_ACCESS_KEY", "secret"),
        ("FLOODMARK_ARCHIVE__AFTER_DAYS", "2"),
        ("FLOODMARK_ARCHIVE__INTERVAL_S", "1"),
    ];
    let server = Server::with(&settings);
    for back in 0..DAYS {
        let events: Vec<Value> = (0..A_DAY).map(|n| event(back, n)).collect();
        assert_eq!(post_json(&server, &json!(events).to_string()).0, 202);
    }
    server.until("they have moved", |it| it.has_metric("floodmark_archive_rows_total 120"));
    let path = "/api/analytics/export";
    let export = server.request("GET", path).send().unwrap();
    let ids: std::collections::BTreeSet<String> = export
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), export.text().lines().count()), (300, 300));
    let keys = run(
        make.replace("client.create_bucket(Bucket='shop'); break", "break").as_str(),
        &[&endpoint],
    );
    let keys = keys.as_array().unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    assert!(
        keys.iter().all(|key| key.as_str().unwrap().starts_with("floodmark/date=")),
        "{keys:?}"
    );
    let _ = (moto.kill(), moto.wait());
}
