//! Which user agents are those of bots.
//!
//! The list is that of the npm package isbot, which its makers keep up to date and try on the user agents
//! of thousands of real browsers. The build writes its expressions, one a line, to `OUT_DIR`
//! (`dashboard/build.mjs`); a new release of the package comes with `npm update`.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    sync::{Arc, LazyLock},
};

use parking_lot::Mutex;
use regex::{Regex, RegexBuilder};
use xxhash_rust::xxh3::xxh3_128;

/// The expressions of the package.
const KEPT_LIST: &str = include_str!(concat!(env!("OUT_DIR"), "/bots.txt"));
/// What the package does not know, in small letters: speed tests that shops are looked at with, and that
/// are a browser in all else.
const OURS: [&str; 2] = ["gtmetrix", "ylt chrome/"];
/// So much of a user agent is looked at, in bytes. No browser's is as long.
const MAX_AGENT: usize = 1024;
/// So many user agents are remembered. A shop sees some hundred different ones in an hour; beyond, all
/// are forgotten and looked up anew.
const MAX_REMEMBERED: usize = 4096;

/// `[bots]`: how user agents are judged. A clone is a handle on the same.
#[derive(Clone)]
pub struct BotAgents(Arc<AgentRules>);

struct AgentRules {
    /// Texts in small letters: who has one of them is a bot.
    also: Vec<String>,
    /// Texts in small letters: who has one of them is none, whatever else it has.
    people: Vec<String>,
    /// What was said of a user agent, by its hash.
    remembered: Mutex<HashMap<u128, bool>>,
}

/// The list, in two expressions. Rust's own finds most of it in one quick walk; what looks ahead or back
/// needs another engine.
struct KeptList {
    plain: Regex,
    looking: fancy_regex::Regex,
}

static LIST: LazyLock<KeptList> = LazyLock::new(|| {
    let (looking, plain): (Vec<&str>, Vec<&str>) =
        KEPT_LIST.lines().partition(|line| line.contains("(?!") || line.contains("(?<"));
    let any = |of: &[&str]| format!("(?i)(?:{})", of.join("|"));
    KeptList {
        plain: RegexBuilder::new(&any(&plain)).build().expect("a test reads each of them"),
        looking: fancy_regex::Regex::new(&any(&looking)).expect("a test reads each of them"),
    }
});

impl fmt::Debug for BotAgents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "also {:?}, people {:?}", self.0.also, self.0.people)
    }
}

impl BotAgents {
    /// The kept list, with texts of the shop's own: of further bots, and of `people`.
    pub fn new(also: &[String], people: &[String]) -> BotAgents {
        let small = |texts: &[String]| texts.iter().map(|text| text.to_lowercase()).collect();
        let (also, people) = (small(also), small(people));
        BotAgents(Arc::new(AgentRules { also, people, remembered: Mutex::default() }))
    }

    /// Whether a user agent is that of a bot. An empty one says nothing, so it is none.
    pub fn is_bot(&self, agent: &str) -> bool {
        let agent = &agent[..agent.floor_char_boundary(MAX_AGENT)];
        let hash = xxh3_128(agent.as_bytes());
        if let Some(known) = self.0.remembered.lock().get(&hash) {
            return *known;
        }
        let is_bot = self.0.judge(agent);
        let mut remembered = self.0.remembered.lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(hash, is_bot);
        is_bot
    }
}

impl AgentRules {
    fn judge(&self, agent: &str) -> bool {
        // To the list's makers only ASCII has letters.
        let ascii = |c: char| if c.is_ascii() { c } else { '\u{1}' };
        let in_ascii = match agent.is_ascii() {
            true => Cow::Borrowed(agent),
            false => Cow::Owned(agent.chars().map(ascii).collect()),
        };
        let small = agent.to_lowercase();
        let has = |texts: &[String]| texts.iter().any(|text| small.contains(text.as_str()));
        if agent.is_empty() || has(&self.people) {
            return false;
        }
        has(&self.also)
            || OURS.iter().any(|text| small.contains(text))
            || LIST.plain.is_match(&in_ascii)
            // An agent that takes the engine too many steps is nothing that anybody knows.
            || LIST.looking.is_match(&*in_ascii).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;
