//! Whether bots sent the events of a request.
//!
//! Only what pages send is judged: events with a public key, and those that come the way of a page's tag
//! ([`Dialect::is_of_page`]). What counts is the user agent of the page. The event may say it itself; else it is
//! that of the request, where a browser made that. A server's own HTTP client is no browser, and is never
//! judged.

use std::borrow::Cow;

use actix_web::{HttpRequest, http::header};

use super::Intake;
use crate::{
    domain::{
        bot::agents::BotAgents,
        event::{Field, Incoming},
    },
    http::{auth::EventSender, dialect::Dialect},
};

/// How the user agents of all browsers begin, and of the bots that run a page's scripts or load its images
/// as browsers do. Programs that only speak HTTP call themselves by their own name.
const BROWSERS: [&str; 2] = ["Mozilla/", "Opera/"];

/// Says of the events of one request whether a bot sent them.
#[derive(Debug)]
pub(super) struct BotJudge<'i> {
    agents: &'i BotAgents,
    /// Whether the request itself is of a bot, for events that don't say who sent them.
    is_bot: bool,
}

impl<'i> BotJudge<'i> {
    /// The judge of a request; `None` where its events are not judged.
    pub fn of<D: Dialect>(
        dialect: &D,
        request: &HttpRequest,
        sender: &EventSender,
        intake: &'i Intake,
    ) -> Option<BotJudge<'i>> {
        if !(sender.is_public || dialect.is_of_page()) {
            return None;
        }
        let agents = intake.bots.as_ref()?;
        let agent = request.headers().get(header::USER_AGENT);
        // User agents with characters beyond ASCII are rare, and still are to be read.
        let agent = agent.map_or(Cow::Borrowed(""), |it| String::from_utf8_lossy(it.as_bytes()));
        let is_browser = BROWSERS.iter().any(|beginning| agent.starts_with(beginning));
        Some(BotJudge { agents, is_bot: is_browser && agents.is_bot(&agent) })
    }

    /// Whether a bot sent this event.
    pub fn judges(&self, event: &Incoming<'_>) -> bool {
        match &event.user_agent {
            Field::Text(agent) if !agent.is_empty() => self.agents.is_bot(agent),
            _ => self.is_bot,
        }
    }
}
