//! The rows, the ledger's deltas and the counters in Redis add up to the same sums by minute and
//! type, and a chart shows these sums. Everything else relies on this.

use std::collections::BTreeMap;

use floodmark::{
    config::Config,
    domain::{
        delta::Series,
        time::{DAY, HOUR, MINUTE, Millis, SECOND, bucket, now_ms},
    },
    store,
};
use serde_json::{Value, json};

use crate::{
    shop::{Live, Shop, drained},
    support::{ledger::sum_of, program::noon_zone, redis::RedisServer, sums::Sums},
};

/// (start of the bucket in Unix ms, series) -> sum.
type Buckets = BTreeMap<(Millis, String), i64>;

/// How long ago the events of this test happened: some now, some earlier today or on other days,
/// some in the future. None is near the edge of what the live counters keep (an hour of seconds, a
/// day of minutes).
const AGES: [Millis; 12] = [
    0,
    3 * SECOND,
    70 * SECOND,
    20 * MINUTE,
    50 * MINUTE,
    5 * HOUR,
    22 * HOUR,
    26 * HOUR,
    3 * DAY,
    41 * DAY,
    500 * DAY,
    -2 * MINUTE,
];

const KINDS: [&str; 5] = ["page_view", "purchase", "error", "signup", "odd: a type"];

fn event(n: usize, now: Millis) -> Value {
    let kind = KINDS[n % 7 % 5];
    let properties = match kind {
        "purchase" => json!({"amount": format!("{}.{:04}", n % 90, n * 37 % 10_000)}),
        _ => json!({"path": format!("/{n}")}),
    };
    // The events are spread over a few seconds around each age.
    let at = now - AGES[n % AGES.len()] - (n % 5) as Millis * 700;
    json!({"type": kind, "timestamp": at, "sessionId": format!("s{}", n % 300),
           "properties": properties})
}

/// Sends a few thousand events to each node, some of them without a timestamp.
fn sent(shop: &Shop) -> Sums {
    let (now, mut sums) = (now_ms(), Sums::default());
    let mut n = 0;
    for round in 0..40 {
        let node = &shop.nodes[round % shop.nodes.len()];
        let events: Vec<Value> = (0..150 + round * 3)
            .map(|_| {
                n += 1;
                event(n, now)
            })
            .collect();
        let answer = node.post(serde_json::to_vec(&events).unwrap());
        assert_eq!(answer.status, 202, "{answer:?}");
        events.iter().for_each(|event| sums.add_event(event));
    }
    sums
}

/// The sums of the rows, in buckets of `width`.
fn rows(shop: &Shop, width: Millis) -> Buckets {
    let start = format!("(floor(extract(epoch FROM time) * 1000 / {width}) * {width})::bigint");
    let mut all = Buckets::new();
    for row in shop.sql(&format!("SELECT {start}, type, count(*) FROM events GROUP BY 1, 2")) {
        all.insert((row[0].parse().unwrap(), format!("c:{}", row[1])), row[2].parse().unwrap());
    }
    let revenue = format!(
        "SELECT {start}, (10000 * sum((properties->>'amount')::numeric))::bigint
         FROM events WHERE type = 'purchase' GROUP BY 1"
    );
    for row in shop.sql(&revenue) {
        all.insert((row[0].parse().unwrap(), "s:revenue".to_owned()), row[1].parse().unwrap());
    }
    all.retain(|_, sum| *sum != 0);
    all
}

/// The sums of the ledger's deltas, in minutes.
fn ledger(shop: &Shop) -> Buckets {
    let mut config = Config { timezone: noon_zone(), ..Config::default() };
    config.postgres.url = shop.postgres.url();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sum = runtime.block_on(async {
        let store = store::open(&config).await.unwrap();
        sum_of(&*store.ledger, 0, 0).await.unwrap()
    });
    let mut all = Buckets::new();
    for lane in &sum.lanes {
        let compared = |series: &Series| matches!(series, Series::Count(_) | Series::Sum(_));
        for (second, series, value) in lane.delta.cells().filter(|cell| compared(cell.1)) {
            *all.entry((bucket(second, MINUTE), series.to_string())).or_default() += value;
        }
    }
    all
}

/// The sums of the hashes of one kind in Redis (`s` for seconds, `m` for minutes) over all lanes.
fn counters(redis: &RedisServer, kind: &str, width: Millis) -> Buckets {
    let mut all = Buckets::new();
    let keys: Vec<String> = redis.run(&["KEYS", &format!("{{floodmark:lane*}}:{kind}:*")]);
    // A rebuild that lost the race against another node leaves its staged keys for a while. They
    // have names of their own, and are not counted.
    for key in keys.iter().filter(|key| !key.contains(":new:")) {
        let hour: Millis = key.rsplit(':').next().unwrap().parse().unwrap();
        let fields: Vec<(String, i64)> = redis.run(&["HGETALL", key]);
        for (field, value) in fields {
            let (at, series) = field.split_once(':').unwrap();
            if matches!(Series::parse(series), Some(Series::Count(_) | Series::Sum(_))) {
                let start = hour * HOUR + at.parse::<Millis>().unwrap() * width;
                *all.entry((start, series.to_owned())).or_default() += value;
            }
        }
    }
    all
}

fn since(buckets: &Buckets, start: Millis) -> Buckets {
    buckets.iter().filter(|(key, _)| key.0 >= start).map(|(k, v)| (k.clone(), *v)).collect()
}

/// The nonzero minutes of the last day's chart of one type.
fn chart(shop: &Shop, node: usize, kind: &str) -> Buckets {
    let kind_in_url = kind.replace(' ', "%20");
    let path = format!("/api/analytics/timeseries?type={kind_in_url}&hours=24");
    let points = shop.nodes[node].get(&path);
    let points = points.as_array().expect("an array").iter().filter_map(|point| {
        let count = point["count"].as_i64().expect("a count");
        let at = point["timestamp"].as_i64().expect("a timestamp");
        (count > 0).then(|| ((at, format!("c:{kind}")), count))
    });
    points.collect()
}

#[test]
fn rows_ledger_redis_and_charts_are_the_same_sums_by_minute_and_type() {
    let shop = Shop::open();
    let sums = sent(&shop);
    shop.stores(sums.events());
    shop.nodes.iter().for_each(drained);

    let rows_by_minute = rows(&shop, MINUTE);
    let of_rows: i64 =
        rows_by_minute.iter().filter(|(k, _)| k.1.starts_with("c:")).map(|it| it.1).sum();
    assert_eq!(of_rows as u64, sums.events(), "all that was sent");
    assert_eq!(rows_by_minute, ledger(&shop), "the ledger");

    let Live::Single(redis) = &shop.live else { unreachable!() };
    let now = now_ms();
    let minutes = counters(redis, "m", MINUTE);
    assert_eq!(
        since(&rows_by_minute, now - 24 * HOUR),
        since(&minutes, now - 24 * HOUR),
        "minutes"
    );
    assert_eq!(minutes, since(&minutes, now - 25 * HOUR), "no minutes that nobody shows");
    let recent = bucket(now - 55 * MINUTE, SECOND);
    let seconds = counters(redis, "s", SECOND);
    assert_eq!(since(&rows(&shop, SECOND), recent), since(&seconds, recent), "seconds");

    for node in 0..shop.nodes.len() {
        for kind in KINDS {
            let of_kind = |buckets: &Buckets| -> Buckets {
                let name = format!("c:{kind}");
                buckets.iter().filter(|(k, _)| k.1 == name).map(|(k, v)| (k.clone(), *v)).collect()
            };
            // Events that are dated in the future are not in a chart that ends now.
            let mut shown = of_kind(&since(&rows_by_minute, now - 24 * HOUR));
            shown.retain(|key, _| key.0 <= bucket(now, MINUTE));
            assert_eq!(shown, chart(&shop, node, kind), "the chart of {kind}");
        }
    }
}

#[test]
fn an_emptied_redis_holds_the_same_sums_again() {
    let shop = Shop::open();
    let sums = sent(&shop);
    shop.stores(sums.events());
    shop.nodes.iter().for_each(drained);
    let Live::Single(redis) = &shop.live else { unreachable!() };
    let kept = |buckets: Buckets| since(&buckets, now_ms() - 23 * HOUR);
    let before = kept(counters(redis, "m", MINUTE));
    assert!(!before.is_empty());
    redis.flushall();
    crate::support::program::wait_until("the minutes are back", || {
        let after = kept(counters(redis, "m", MINUTE));
        if after == before { Ok(()) } else { Err(after.len()) }
    });
}
