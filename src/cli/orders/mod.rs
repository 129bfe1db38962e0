//! `floodmark orders`: adds orders from a file to the books, as the shop or the payment provider has them.
//! The file is read whole before anything is kept, so that one with a mistake changes nothing.

mod file;

use std::{path::PathBuf, process::ExitCode};

use clap::Args;

use super::{ServeArgs, connect, maintain::once, with_config};
use crate::{
    config::Config,
    domain::{
        books::MAX_ORDER_ID,
        time::{BusinessZone, now_ms},
    },
    store::orders::StoredOrder,
};

/// Orders of one transaction.
const CHUNK: usize = 1_000;

/// The flags of `floodmark orders`.
#[derive(Args, Clone, Debug)]
pub struct OrdersArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// A CSV file: the orders that Shopify exports, the payments that Stripe exports, or columns id, time,
    /// amount, currency and, where they are there, status
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose orders these are. With the name of a webhook's [[source]] they are the same orders
    #[arg(long, value_name = "NAME", default_value = "file")]
    source: String,
    /// Read the file, say what is in it, and keep nothing
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
pub fn run(args: &OrdersArgs) -> ExitCode {
    with_config(&args.serve, |config| once("orders", added(&config, args)))
}

async fn added(config: &Config, args: &OrdersArgs) -> Result<String, String> {
    if args.source.is_empty() || args.source.len() > 64 || args.source.contains('\0') {
        return Err("--source: a name has 1 to 64 characters".to_owned());
    }
    let zone = BusinessZone::named(&config.timezone)?;
    let shown = args.file.display();
    let opened = std::fs::File::open(&args.file).map_err(|e| format!("{shown}: {e}"))?;
    let read = file::read(opened, &zone, &config.currency).map_err(|e| format!("{shown}: {e}"))?;
    let (count, format) = (read.orders.len(), read.format);
    let left = match read.passed_over {
        0 => String::new(),
        lines => format!("; {lines} lines have no order of their own"),
    };
    if args.dry_run {
        return Ok(format!("{count} orders, read as {format}{left}; nothing was kept"));
    }
    let stores = connect::stores(config).await?;
    stores.info.claim().await.map_err(|e| e.to_string())?;
    let received_at = now_ms();
    let mut orders: Vec<StoredOrder> = read
        .orders
        .into_iter()
        .map(|entry| StoredOrder { source: args.source.clone(), entry, received_at })
        .collect();
    // Beside a server that writes the same orders: both go through them in the same order.
    orders.sort_by(|a, b| a.entry.id.cmp(&b.entry.id));
    for (done, chunk) in orders.chunks(CHUNK).enumerate() {
        stores.books.keep_orders(chunk).await.map_err(|e| {
            format!("{} of {count} orders were kept; run it again: {e}", done * CHUNK)
        })?;
    }
    Ok(format!("{count} orders of source {} are in the books, read as {format}{left}", args.source))
}

/// Whether a text can be the id of an order.
fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ORDER_ID && !text.contains('\0')
}
