//! Alerts. The configuration declares them ([`spec`]); at start they are checked and compiled
//! ([`compile`]) into what is used ([`rules`], [`condition`], [`guard`], [`silence`],
//! [`webhook`]). Each second an alert is compared with the numbers ([`reader`], [`evaluate`],
//! [`significance`]), and a machine turns these looks into firing and clearing ([`machine`]).
//! What fires is explained ([`explain`]), and [`firing`] is what is kept and told of it.
//!
//! All of it is pure: the time and the numbers are handed in.

mod compile;
mod condition;
mod evaluate;
mod explain;
mod firing;
mod guard;
mod hidden;
mod machine;
mod reader;
mod rules;
mod significance;
mod silence;
mod spec;
#[cfg(test)]
mod tests;
mod webhook;

pub use self::{
    compile::SCHEMA_DRIFT,
    condition::{Condition, Conditions, Direction, Judgement, Relative, Usual},
    evaluate::{Held, Observation, Reading, Stand, Verdict, evaluate},
    explain::{Explains, explain},
    firing::Firing,
    guard::Guard,
    machine::{Change, Machine, Phase},
    reader::{MetricReader, Operands},
    rules::{Alert, AlertRules},
    significance::{Sample, of_rates, of_shares},
    silence::Silence,
    spec::{Against, AlertSpec, Secret, Severity, Span, WebhookFormat, WebhookSpec},
    webhook::{PlaceOf, Webhook},
};
