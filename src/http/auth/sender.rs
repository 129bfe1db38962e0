//! One who may send events.

use std::net::SocketAddr;

use actix_web::{
    HttpRequest,
    http::{StatusCode, header},
};
use metrics::Counter;

use crate::{
    domain::{
        access::KeyRules,
        batch::DeadLetter,
        ids::IdSpace,
        source::{Provenance, SourceSpec, UNNAMED},
    },
    http::{client::Client, error::ApiError},
};

/// Where the numbers of keys in the store begin. Those of the configuration are places in its lists.
const STORED_FROM: u32 = 1 << 31;

/// One who may send: a key of `auth.write_keys`, a source of the configuration with all of its keys and
/// ids, a key of the store; or anybody, where no key is needed.
#[derive(Debug)]
pub struct EventSender {
    /// Tells it from all others; `None` for anybody.
    pub number: Option<u32>,
    /// The name of the source; [`UNNAMED`] where it has none.
    pub source: String,
    /// What dead letters say of its (first) key ([`DeadLetter::fingerprint`]); empty without one.
    pub fingerprint: String,
    /// Whether its key stands in pages, where everybody can read it.
    pub is_public: bool,
    /// Whose ids its ids are.
    pub ids: IdSpace,
    /// Whether its orders and refunds count.
    pub has_revenue: bool,
    /// How many events a second it may send, where that is not `http.client_events_per_s`.
    pub events_per_s: Option<u32>,
    /// Its events that were accepted.
    pub accepted: AcceptedCounter,
    /// The origins whose pages may send for it; empty: those of all.
    allowed_origins: Vec<String>,
    /// The types of events that it may send; empty: all.
    event_types: Vec<String>,
}

/// `floodmark_events_accepted_total` of one source. It is looked up once, since the lock and the hash of
/// the registry cost a request of one event more than its JSON does.
pub struct AcceptedCounter(pub Counter);

impl std::fmt::Debug for AcceptedCounter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(counter)")
    }
}

impl EventSender {
    /// Who sends with a key that has no name.
    pub fn unnamed(number: Option<u32>, fingerprint: String) -> EventSender {
        EventSender {
            number,
            source: UNNAMED.to_owned(),
            fingerprint,
            is_public: false,
            ids: IdSpace::Shop,
            has_revenue: true,
            events_per_s: None,
            accepted: AcceptedCounter::of_source(UNNAMED),
            allowed_origins: Vec::new(),
            event_types: Vec::new(),
        }
    }

    /// The same sender, whose orders and refunds count only where there is no revenue source.
    pub fn unless_chosen(self, is_chosen: bool) -> EventSender {
        EventSender { has_revenue: !is_chosen, ..self }
    }

    /// A source of the configuration; `is_chosen` says that one is the revenue source.
    pub fn of_source(number: u32, source: &SourceSpec, is_chosen: bool) -> EventSender {
        let first = source.key.0.first();
        EventSender {
            source: source.name.clone(),
            is_public: source.public,
            ids: source.id_space(),
            has_revenue: source.has_revenue(is_chosen),
            accepted: AcceptedCounter::of_source(&source.name),
            allowed_origins: source.allowed_origins.0.clone(),
            ..EventSender::unnamed(
                Some(number),
                first.map(|key| DeadLetter::fingerprint(key)).unwrap_or_default(),
            )
        }
    }

    /// A key of the store.
    pub fn stored(key: &KeyRules) -> EventSender {
        EventSender {
            source: key.source.clone(),
            is_public: key.public,
            ids: if key.public { IdSpace::Public } else { IdSpace::Shop },
            events_per_s: key.events_per_s,
            accepted: AcceptedCounter::of_source(&key.source),
            allowed_origins: key.allowed_origins.clone(),
            event_types: key.event_types.clone(),
            ..EventSender::unnamed(
                Some(STORED_FROM | key.number),
                DeadLetter::fingerprint_of_hash(&key.secret),
            )
        }
    }

    /// Whom the rate of events is for: the key, or the address where everybody may have the key, since
    /// it stands in pages, and where there is none.
    pub fn client(&self, peer: Option<SocketAddr>) -> Client {
        match self.number {
            Some(number) if self.is_public => Client::at(number, peer),
            number => Client::new(number, peer),
        }
    }

    /// Where its events come from, unless a bot has sent them.
    pub fn provenance<'s>(&'s self, dialect: &'s str) -> Provenance<'s> {
        let EventSender { source, ids, has_revenue, .. } = self;
        Provenance { source, dialect, ids: *ids, has_revenue: *has_revenue, is_bot: false }
    }

    /// Whether it may send events of this type.
    pub fn may_send(&self, kind: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|known| known == kind)
    }

    /// Looks whether it may import.
    ///
    /// # Errors
    /// 403 for a public key: everybody can read it, and what is imported is kept from being imported again.
    pub fn check_may_import(&self) -> Result<(), ApiError> {
        match self.is_public {
            false => Ok(()),
            true => Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "secret_key_needed",
                "events of the past are imported with a secret key, not with one that stands in pages",
            )),
        }
    }

    /// Checks the page that a request is from, where this sender is for the pages of some sites. A
    /// request that no page sends has no `Origin`.
    ///
    /// # Errors
    /// 403 where the page may not send.
    pub fn check_origin(&self, request: &HttpRequest) -> Result<(), ApiError> {
        let allowed = &self.allowed_origins;
        let Some(origin) = request.headers().get(header::ORIGIN).filter(|_| !allowed.is_empty())
        else {
            return Ok(());
        };
        if allowed.iter().any(|allowed| origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()))
        {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "origin",
            "pages of this origin may not send with this key; see its allowed origins",
        ))
    }
}

impl AcceptedCounter {
    /// The counter of a source, which stands at 0 at least from now on.
    fn of_source(name: &str) -> AcceptedCounter {
        let counter =
            metrics::counter!("floodmark_events_accepted_total", "source" => name.to_owned());
        counter.increment(0);
        AcceptedCounter(counter)
    }
}
