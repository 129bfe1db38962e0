//! `floodmark explain`: why a metric has changed, by the events in the store.

use std::{process::ExitCode, sync::Arc};

use clap::Args;

use super::{ServeArgs, connect, exit::Exit, moment, with_config};
use crate::{
    causes::{
        CauseQuery, Explainer, Explanation,
        spans::{self, USUAL_LENGTH},
    },
    config::Config,
    domain::{
        access::Sight,
        cause::NamedCause,
        time::{BusinessZone, Millis, now_ms},
    },
};

/// The flags of `floodmark explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// The metric, such as checkout_error_rate
    #[arg(value_name = "METRIC")]
    metric: String,
    /// The first moment (RFC 3339, 2026-11-27T14:00:00Z) [default: ten minutes before --to]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    from: Option<Millis>,
    /// The last moment [default: now]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    to: Option<Millis>,
    /// What it is compared with: last_hour, yesterday, last_week, or an occasion [default: last_hour]
    #[arg(long, value_name = "WORD", conflicts_with_all = ["baseline_from", "baseline_to"])]
    baseline: Option<String>,
    /// The first moment of what it is compared with instead
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "baseline_to")]
    baseline_from: Option<Millis>,
    /// The last moment of what it is compared with instead
    #[arg(long, value_name = "MOMENT", value_parser = moment, requires = "baseline_from")]
    baseline_to: Option<Millis>,
    /// Print the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &ExplainArgs) -> ExitCode {
    with_config(&args.serve, |config| match actix::System::new().block_on(explain(&config, args)) {
        Ok(words) => {
            println!("{words}");
            Exit::Done.into()
        }
        Err(words) => {
            eprintln!("floodmark explain: {words}");
            Exit::Failed.into()
        }
    })
}

async fn explain(config: &Config, args: &ExplainArgs) -> Result<String, String> {
    let to = args.to.unwrap_or_else(now_ms);
    let now = (args.from.unwrap_or(to - USUAL_LENGTH), to);
    let was = match args.baseline_from.zip(args.baseline_to) {
        Some(given) => given,
        None => {
            let word = args.baseline.as_deref().unwrap_or("last_hour");
            let zone = BusinessZone::named(&config.timezone)?;
            spans::named(now, word, &zone, &config.rules.occasions)
                .map_err(|words| format!("--baseline: {words}"))?
        }
    };
    spans::check(now, was)?;
    let stores = connect::stores(config).await?;
    let metric_set: Arc<_> = config.rules.metric_set.clone();
    let query = CauseQuery { metric: args.metric.clone(), now, was, sight: Sight::Everything };
    let explainer = Explainer::new(stores.events, stores.rollups, stores.retention, metric_set);
    let answer = explainer.explain(&query).await.map_err(|e| e.to_string())?;
    match args.json {
        true => serde_json::to_string(&answer).map_err(|e| e.to_string()),
        false => Ok(in_words(&answer)),
    }
}

fn in_words(answer: &Explanation) -> String {
    let number = |value: Option<f64>| value.map_or("nothing".to_owned(), |it| it.to_string());
    let (value, was) = (number(answer.value), number(answer.was));
    let mut lines = vec![format!("{}: {value}, against {was} before", answer.metric)];
    let cause = |cause: &NamedCause| {
        format!(
            "  {}: {}, against {} before; {:.0} % of the change ({} events, confidence {:.2})",
            cause.name(),
            cause.value,
            cause.was,
            cause.share * 100.0,
            cause.events,
            cause.confidence
        )
    };
    lines.extend(answer.causes.iter().map(cause));
    if answer.causes.is_empty() {
        lines.push(match answer.general {
            true => "  It has changed alike everywhere.".to_owned(),
            false => "  Nothing stands out beyond chance.".to_owned(),
        });
    }
    let searched = answer.searched;
    lines.push(format!(
        "Looked at {} events and {} properties.",
        searched.events, searched.properties
    ));
    lines.join("\n")
}
