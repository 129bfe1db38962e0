//! The section of bots.

use serde::{Deserialize, Serialize};

use crate::domain::bot::agents::BotAgents;

/// `[bots]`: which events are labelled as those of bots.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BotsConfig {
    /// Whether events of pages are judged by their user agent.
    pub label: bool,
    /// Texts in the user agents of further bots.
    pub also: Vec<String>,
    /// Texts in the user agents of people that look like bots.
    pub people: Vec<String>,
}

impl BotsConfig {
    /// How user agents are judged; `None` where they are not.
    pub fn agents(&self) -> Option<BotAgents> {
        self.label.then(|| BotAgents::new(&self.also, &self.people))
    }
}
