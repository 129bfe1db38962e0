//! Copies of an event: one that borrows from nothing, and one that says nothing of its visitor.

use std::borrow::Cow;

use super::{Field, Incoming, Note};

/// Types whose properties are about the visitor and nothing else, in small letters without `$`.
const ABOUT_VISITORS: [&str; 6] =
    ["identify", "alias", "group", "set", "create_alias", "groupidentify"];

impl Incoming<'_> {
    /// The same event, which borrows from nothing.
    pub fn into_owned(self) -> Incoming<'static> {
        Incoming {
            kind: self.kind.into_owned(),
            timestamp: self.timestamp.into_owned(),
            sent_at: self.sent_at.into_owned(),
            user_id: self.user_id.into_owned(),
            session_id: self.session_id.into_owned(),
            id: self.id.into_owned(),
            user_agent: self.user_agent.into_owned(),
            properties: self.properties.map(|text| Cow::Owned(text.into_owned())),
            plain: self.plain,
            size: self.size,
            notes: self.notes,
            refused: self.refused,
        }
    }
}

impl<'a> Incoming<'a> {
    /// The same event without its user and its session. What its properties say of the visitor is left out
    /// where they are checked, with [`crate::domain::privacy::Privacy::without_identity`].
    pub fn without_identity(&self) -> Incoming<'a> {
        let mut event =
            Incoming { user_id: Field::Absent, session_id: Field::Absent, ..self.clone() };
        event.notes.push(Note::IdentityDropped);
        if let Field::Text(kind) = &self.kind {
            // Mapped names have `_` in the place of `$`.
            let kind = kind.trim().trim_start_matches(['$', '_']).to_lowercase();
            if ABOUT_VISITORS.contains(&kind.as_str()) {
                event.properties = None;
            }
        }
        event
    }
}
