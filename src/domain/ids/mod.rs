//! By what an event is known again: its id, with the type of the event and the space of its sender.
//!
//! ```text
//!  id of the client   type of the event   space
//!  order:1001         purchase            the shop's own keys, and servers without keys
//!  order:1001         purchase            public keys, which everybody can read in a page
//!  7f1c…              signup              webhooks of Shopify and Stripe
//! ```
//!
//! These three are different events. So whoever has read the key of a page can send `order:1001`
//! before the shop's server does, and the server's order counts all the same. The other way round, what
//! the shop has sent under an id is not taken once more from a page.

mod queue;

use std::pin::Pin;

use uuid::Uuid;

pub use self::queue::IdQueue;
use crate::domain::time::Millis;

const UUID: usize = 16;

/// Stands between an id, the type of its event, and the mark of its space. None of them holds this
/// character: the door replaces it in an id, and refuses it in a type.
const BETWEEN: char = '\0';

/// The types of events that move money. They are sent again for hours or days: Shopify repeats a webhook
/// for four hours and Stripe for three days, and a browser keeps its queue over a night.
pub const MONEY_TYPES: [&str; 2] = ["purchase", "refund"];

/// Who gave an id. Ids of different spaces are different ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IdSpace {
    /// The shop: its secret keys, a server without keys, and the orders of webhooks.
    #[default]
    Shop,
    /// A public key.
    Public,
    /// A webhook, for what is no order or refund.
    Webhook,
}

impl IdSpace {
    /// What stands behind the type. The shop's ids have none, as all ids had none before there were
    /// spaces.
    fn mark(self) -> &'static str {
        match self {
            IdSpace::Shop => "",
            IdSpace::Public => "\0p",
            IdSpace::Webhook => "\0w",
        }
    }
}

/// How long an id is remembered, and which index has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdClass {
    /// For `dedupe.window_s`.
    Short,
    /// For `dedupe.long_window_s`: orders, refunds and webhooks.
    Long,
    /// As long, for orders and refunds of public keys. They have an index of their own, since whoever
    /// has read the key of a page could fill that of the shop and push the shop's ids out.
    LongPublic,
}

impl IdClass {
    /// All of them, in the order in which arrays hold something for each.
    pub const ALL: [IdClass; 3] = [IdClass::Short, IdClass::Long, IdClass::LongPublic];

    /// The class of an id, by what [`known_as`] has made of it.
    pub fn of(text: &str) -> IdClass {
        Key::new(text).class()
    }
}

/// The text by which an event is known again. Indexes, records on disk and Redis hold such texts.
///
/// What earlier versions wrote there is the id alone ([`Key::untyped`]). It stands for the id on
/// events of every type, so that nothing that was taken in before is taken in again.
pub fn known_as(id: &str, kind: &str, space: IdSpace) -> String {
    let mark = space.mark();
    let mut text = String::with_capacity(id.len() + 1 + kind.len() + mark.len());
    text.push_str(id);
    text.push(BETWEEN);
    text.push_str(kind);
    text.push_str(mark);
    text
}

/// The id in a text that [`known_as`] made, or that is an id alone.
pub fn bare_id(text: &str) -> &str {
    text.split(BETWEEN).next().unwrap_or(text)
}

/// An id and the type of its event, in the form in which they are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key<'a> {
    id: HeldId<'a>,
    /// The type with the mark of the space; empty where the type is not known.
    kind: &'a str,
}

/// An id in the form in which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum HeldId<'a> {
    /// The 16 bytes of a UUID that came in its canonical form (lower case, hyphens), so the text
    /// can be made of them again.
    Uuid([u8; UUID]),
    /// The bytes of any other id.
    Text(&'a [u8]),
}

impl<'a> Key<'a> {
    /// The key of a text that [`known_as`] has made, or of an id alone.
    pub fn new(text: &'a str) -> Key<'a> {
        let (id, kind) = text.split_once(BETWEEN).unwrap_or((text, ""));
        let mut canonical = Uuid::encode_buffer();
        let id = match Uuid::try_parse(id) {
            Ok(uuid) if uuid.hyphenated().encode_lower(&mut canonical) == id => {
                HeldId::Uuid(*uuid.as_bytes())
            }
            _ => HeldId::Text(id.as_bytes()),
        };
        Key { id, kind }
    }

    /// The same id where the type of its event is not known.
    pub fn untyped(self) -> Key<'a> {
        Key { kind: "", ..self }
    }

    /// The same id in the space of the shop, where this one is in another.
    pub fn of_shop(self) -> Option<Key<'a>> {
        self.kind.split_once(BETWEEN).map(|(kind, _)| Key { kind, ..self })
    }

    /// Which index has it.
    pub fn class(&self) -> IdClass {
        let (kind, mark) = self.kind.split_once(BETWEEN).unwrap_or((self.kind, ""));
        match (MONEY_TYPES.contains(&kind), mark) {
            (true, "p") => IdClass::LongPublic,
            (true, _) | (false, "w") => IdClass::Long,
            (false, _) => IdClass::Short,
        }
    }

    /// Whether the type is not known.
    pub fn is_untyped(&self) -> bool {
        self.kind.is_empty()
    }

    /// The text that it was made of.
    pub fn text(&self) -> String {
        let id = match self.id {
            HeldId::Uuid(bytes) => Uuid::from_bytes(bytes).to_string(),
            HeldId::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        match self.is_untyped() {
            true => id,
            false => format!("{id}{BETWEEN}{}", self.kind),
        }
    }
}

/// Ids with how much longer each is to be remembered, in ms; and where the next page begins.
pub type Page = (Vec<(Millis, String)>, u64);

/// The ids that this node has on its disk and in its window, a page at a time. The ingest actor
/// has them; those who share them with other nodes read them.
pub trait KnownIds: Send + Sync + 'static {
    /// Up to `limit` ids from position `from` on; `None` behind the last.
    fn page(&self, from: u64, limit: usize) -> Pin<Box<dyn Future<Output = Option<Page>> + Send>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_made() {
        for id in ["order:1", "0190a6e8-7c1f-7000-8000-000000000001"] {
            for space in [IdSpace::Shop, IdSpace::Public, IdSpace::Webhook] {
                let text = known_as(id, "purchase", space);
                let key = Key::new(&text);
                assert_eq!((key.text(), bare_id(&text)), (text.clone(), id));
                let of_shop = known_as(id, "purchase", IdSpace::Shop);
                let other = key.of_shop().map(|key| key.text());
                assert_eq!(other, (space != IdSpace::Shop).then_some(of_shop));
            }
            assert!(Key::new(id).is_untyped());
        }
    }

    #[test]
    fn money_and_webhooks_are_remembered_for_long_and_pages_apart() {
        let class = |kind, space| IdClass::of(&known_as("i", kind, space));
        assert_eq!(class("purchase", IdSpace::Shop), IdClass::Long);
        assert_eq!(class("refund", IdSpace::Public), IdClass::LongPublic);
        assert_eq!(class("signup", IdSpace::Webhook), IdClass::Long);
        assert_eq!(class("signup", IdSpace::Shop), IdClass::Short);
        assert_eq!(class("page_view", IdSpace::Public), IdClass::Short);
        assert_eq!(IdClass::of("an id alone"), IdClass::Short);
    }
}
