//! `floodmark explain`: why a metric has changed, by the events in the store.

use std::{process::ExitCode, sync::Arc};

use clap::Args;

use super::{ServeArgs, connect, exit::Exit, moment, with_config};
use crate::{
    causes::{CauseQuery, Explainer, Explanation},
    config::Config,
    domain::{
        access::Sight,
        cause::NamedCause,
        time::{HOUR, MINUTE, Millis, now_ms},
    },
};

/// The span that is looked at where the flags name none.
const USUAL_SPAN: Millis = 10 * MINUTE;

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
    /// The first moment of what it is compared with [default: an hour before --from]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
    baseline_from: Option<Millis>,
    /// The last moment of what it is compared with [default: --from]
    #[arg(long, value_name = "MOMENT", value_parser = moment)]
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
    let from = args.from.unwrap_or(to - USUAL_SPAN);
    let end = args.baseline_to.unwrap_or(from);
    let begin = args.baseline_from.unwrap_or(end - HOUR);
    if from >= to || begin >= end {
        return Err("a span has to begin before it ends".to_owned());
    }
    if begin < to && from < end {
        return Err("the baseline overlaps the span that is asked about".to_owned());
    }
    let stores = connect::stores(config).await?;
    let metric_set: Arc<_> = config.rules.metric_set.clone();
    let query = CauseQuery {
        metric: args.metric.clone(),
        now: (from, to),
        was: (begin, end),
        sight: Sight::Everything,
    };
    let explainer = Explainer::new(stores.events, stores.rollups, metric_set);
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
