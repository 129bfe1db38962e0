//! An event that is an object of JSON with members of its dialect's own, read when it is asked for.

use std::{borrow::Cow, marker::PhantomData};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::DialectEvent;
use crate::domain::event::{Incoming, Rejection};

/// The members of such an event that are looked at.
pub trait EventMembers<'a>: Deserialize<'a> {
    /// The event that they make. `size` is the bytes of its text.
    fn incoming(self, size: usize) -> Incoming<'a>;
}

/// One event as it was sent, with the members `M`.
#[derive(Debug)]
pub struct JsonEvent<'a, M> {
    text: &'a str,
    read: Option<Incoming<'a>>,
    members: PhantomData<fn() -> M>,
}

impl<'a, M> JsonEvent<'a, M> {
    /// An event of a body. It may be no object.
    pub fn unread(raw: &'a RawValue) -> JsonEvent<'a, M> {
        JsonEvent { text: raw.get(), read: None, members: PhantomData }
    }
}

impl<'a, M: EventMembers<'a>> DialectEvent<'a> for JsonEvent<'a, M> {
    fn read(&mut self) -> Result<&Incoming<'a>, Rejection> {
        read_once(&mut self.read, self.text, |members: M| members.incoming(self.text.len()))
    }

    fn as_sent(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(self.text.as_bytes())
    }
}

/// What was `read` of the object in `text`; the first call reads it.
///
/// # Errors
/// It is no object, or a member is of another kind than `M` takes.
pub fn read_once<'r, 'a, M: Deserialize<'a>>(
    read: &'r mut Option<Incoming<'a>>,
    text: &'a str,
    incoming: impl FnOnce(M) -> Incoming<'a>,
) -> Result<&'r Incoming<'a>, Rejection> {
    if read.is_none() {
        if !text.starts_with('{') {
            return Err(Rejection::NotAnObject);
        }
        let members =
            serde_json::from_str(text).map_err(|e| Rejection::Malformed(e.to_string()))?;
        *read = Some(incoming(members));
    }
    Ok(read.get_or_insert_default())
}
