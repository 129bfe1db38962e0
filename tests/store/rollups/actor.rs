//! The actor that folds on a timer, and folding through PgBouncer.

use super::*;

/// Waits until the store's answer is this.
async fn until<T: Future<Output = bool>>(mut is_so: impl FnMut() -> T) {
    while !is_so().await {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix::test]
async fn the_rollup_actor_folds_drops_and_outlives_an_outage() {
    let Backend::Postgres(mut postgres) = Backend::postgres() else { unreachable!() };
    let mut config = Config::default();
    config.postgres.url = postgres.url();
    config.ledger.fold_interval_ms = 10;
    config.retry.max_ms = 200;
    let store = floodmark::store::open(&config).await.unwrap();
    // One batch is old enough to be dropped, the other is not.
    let now = now_ms();
    let old = now - 80 * HOUR;
    store.batches.write(&seal(node(1), 1, &[Event::at(old, "old")])).await.unwrap();
    store.batches.write(&seal(node(1), 2, &[Event::at(now, "new")])).await.unwrap();
    // As if it had been written when it was sealed.
    postgres.sql(&format!("UPDATE ledger SET written_at = {old} WHERE seq = 1")).await;
    let health = Health::default();
    let zone = BusinessZone::named("UTC").unwrap();
    let folder = RollupActor::new(&store, health.clone(), &config, zone).start();
    let of = |seq| store.ledger.delta(BatchId { run: node(1), seq });
    until(async || of(1).await.unwrap().is_none()).await;
    assert!(of(2).await.unwrap().is_some());
    assert_eq!(rollups(&store).await.len(), 2);
    assert_eq!(store.info.totals().await.unwrap().ledger_events, 2);

    postgres.stop_immediate();
    until(async || health.troubles().iter().any(|trouble| trouble.0 == "rollups")).await;
    postgres.start_again();
    until(async || health.troubles().is_empty()).await;
    store.batches.write(&seal(node(1), 6, &[Event::at(now + HOUR, "later")])).await.unwrap();
    until(async || rollups(&store).await.len() == 3).await;
    assert!(folder.connected());
}

#[tokio::test]
async fn folding_goes_through_pgbouncer() {
    let Backend::Postgres(postgres) = Backend::postgres() else { unreachable!() };
    let bouncer = PgBouncer::start(&postgres, 2);
    let backend = Backend::Postgres(postgres);
    let mut config = backend.config();
    let Backend::Postgres(postgres) = &backend else { unreachable!() };
    config.postgres.url = postgres.url_with(USER, PASSWORD, bouncer.port());
    let nodes = [
        floodmark::store::open(&config).await.unwrap(),
        floodmark::store::open(&config).await.unwrap(),
    ];
    for seq in 1..=20 {
        nodes[0].batches.write(&spread(seq, 40, 1)).await.unwrap();
        let folds = nodes.iter().map(|node| node.rollups.fold(SMALL));
        futures_util::future::join_all(folds).await.into_iter().for_each(|fold| {
            fold.unwrap();
        });
    }
    fold_all(&nodes[1], SMALL).await;
    assert_eq!(rollups(&nodes[0]).await, raw(&backend).await);
    assert_eq!(nodes[0].rollups.drop_folded(Millis::MAX, 0, 15).await.unwrap(), 15);
    assert_eq!(nodes[1].rollups.drop_folded(Millis::MAX, 0, 15).await.unwrap(), 5);
    assert_eq!(nodes[1].info.totals().await.unwrap().ledger_events, 800);
}
