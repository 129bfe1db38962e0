//! Alerts: what the configuration declares ([`spec`]), compiled and checked at start
//! ([`compile`]) into what is used ([`rules`], [`silence`]), held against numbers
//! ([`evaluate`], [`significance`]), turned into firing and clearing ([`machine`]), with the
//! values that explain it ([`explain`]) and what is kept and told of it ([`firing`]). Pure: no
//! clock, no store.

mod compile;
#[cfg(test)]
mod day_tests;
pub mod evaluate;
mod explain;
mod firing;
mod machine;
mod rules;
mod significance;
mod silence;
mod spec;

pub use self::{
    evaluate::{Held, Numbers, Observation, Parts, Reading, Stand, Verdict, evaluate},
    explain::{Explains, explain, in_words},
    firing::Firing,
    machine::{Change, Machine, Phase},
    rules::{Alert, AlertRules, Guard, Webhook},
    silence::Silence,
    spec::{Against, AlertSpec, Format, Secret, Severity, Span, WebhookSpec},
};
