//! Who may send: the write keys of `auth.write_keys`, the keys and ids of `[[source]]`, and the keys of
//! the book.

use std::{collections::HashMap, sync::Arc};

use actix_web::{HttpRequest, http::StatusCode};
use parking_lot::RwLock;

use super::{
    EventSender, nobody_known,
    secrets::{SecretList, WRITE, offered},
};
use crate::{
    access::{SharedBook, secret},
    config::Config,
    domain::{
        access::Book,
        batch::DeadLetter,
        ids::IdSpace,
        source::WebhookVendor,
        time::{Millis, now_ms},
    },
    http::{
        error::ApiError,
        signature::{Signature, Signers},
    },
};

/// Who may send. Without any key in the configuration, and where there never was one in the store,
/// everybody may; but on an address that other machines reach only with `auth.insecure`. A clone is
/// the same.
#[derive(Clone, Debug)]
pub struct WriteKeys {
    list: SecretList,
    /// For each key of the list the place of its sender.
    owners: Arc<[usize]>,
    /// The ids of clients that send no key, each with the place of its sender. They are no secrets.
    ids: Arc<HashMap<String, usize>>,
    /// Those of the configuration.
    senders: Arc<[Arc<EventSender>]>,
    /// Who sends where there are no keys.
    anybody: Arc<EventSender>,
    /// Whether one of the sources is the revenue source.
    is_chosen: bool,
    /// What webhooks are signed with.
    signers: Signers,
    /// `Config::may_be_open`
    may_be_open: bool,
    book: SharedBook,
    stored: Arc<RwLock<StoredSenders>>,
}

/// The senders of the book.
#[derive(Debug, Default)]
struct StoredSenders {
    /// The book that they are from.
    book: Option<Arc<Book>>,
    /// By the SHA-256 of the key; with the end of its validity, Unix ms.
    by_secret: HashMap<String, (Arc<EventSender>, Option<Millis>)>,
    /// By the ids that clients send in place of a key.
    by_id: HashMap<String, (Arc<EventSender>, Option<Millis>)>,
}

/// What the head of a request says about its write key.
#[derive(Debug)]
pub enum Offer {
    /// The texts in the head that may be a key. One of them has to be a known key; an empty list
    /// is a request without a key.
    Head(Vec<String>),
    /// The key stands in the body, which has to be read before the key can be checked.
    Body,
}

impl Offer {
    /// These keys of the head; where it has none, the body decides.
    pub fn head_or_body(keys: Vec<String>) -> Offer {
        if keys.is_empty() { Offer::Body } else { Offer::Head(keys) }
    }
}

/// The proof that a sender may send. Only [`WriteKeys`] makes one, and the step after it
/// ([`crate::http::collect::quota`]) can't be called without it.
#[derive(Clone, Debug)]
pub struct WriteAccess {
    sender: Arc<EventSender>,
}

impl WriteAccess {
    /// Who sends.
    pub fn sender(&self) -> &Arc<EventSender> {
        &self.sender
    }
}

impl WriteKeys {
    /// The keys of `[auth]` and of `[[source]]`, and those of the book.
    pub fn new(config: &Config, book: SharedBook) -> WriteKeys {
        let is_chosen = config.rules.sources.iter().any(|source| source.revenue);
        let mut list = SecretList { allowed: Vec::new() };
        let (mut senders, mut owners, mut ids) = (Vec::new(), Vec::new(), HashMap::new());
        for key in &config.auth.write_keys {
            owners.push(senders.len());
            list.allowed.push(key.clone());
            let (number, mark) = (senders.len() as u32, DeadLetter::fingerprint(key));
            let sender = EventSender::unnamed(Some(number), mark);
            senders.push(Arc::new(sender.unless_chosen(is_chosen)));
        }
        for source in config.rules.sources.iter() {
            let place = senders.len();
            owners.extend(source.key.0.iter().map(|_| place));
            list.allowed.extend(source.key.0.iter().cloned());
            ids.extend(source.ids.0.iter().map(|id| (id.clone(), place)));
            senders.push(Arc::new(EventSender::of_source(place as u32, source, is_chosen)));
        }
        WriteKeys {
            list,
            owners: owners.into(),
            ids: ids.into(),
            senders: senders.into(),
            anybody: EventSender::unnamed(None, String::new()).unless_chosen(is_chosen).into(),
            is_chosen,
            signers: Signers::of(&config.rules.sources, config.auth.write_keys.len()),
            may_be_open: config.may_be_open(),
            book,
            stored: Arc::default(),
        }
    }

    /// Whether keys tell clients from each other: with a single key, everybody who may send has it.
    pub fn tell_apart(&self) -> bool {
        let with_keys = self.senders.iter().filter(|sender| sender.ids != IdSpace::Webhook);
        with_keys.count() + self.stored.read().by_secret.len() > 1
    }

    /// Checks the head of a request. `None` means that its body decides ([`WriteKeys::in_body`]).
    ///
    /// # Errors
    /// 401 where the head offers no known key, 503 where this node does not know all keys yet.
    pub fn in_head(&self, offer: impl FnOnce() -> Offer) -> Result<Option<WriteAccess>, ApiError> {
        // Where everybody may send `offer` is not called: there is nothing to look for.
        if let Some(access) = self.let_anybody_in() {
            return Ok(Some(access));
        }
        match offer() {
            Offer::Head(keys) => self.in_body(&keys, &[]).map(Some),
            Offer::Body => Ok(None),
        }
    }

    /// Checks the keys and ids that were found in a body.
    ///
    /// # Errors
    /// As [`WriteKeys::in_head`].
    pub fn in_body(&self, keys: &[String], ids: &[String]) -> Result<WriteAccess, ApiError> {
        if let Some(access) = self.let_anybody_in() {
            return Ok(access);
        }
        let configured = |place: usize| Ok(WriteAccess { sender: self.senders[place].clone() });
        if let Some(place) = ids.iter().find_map(|id| self.ids.get(id)) {
            return configured(*place);
        }
        if let Some(at) = self.list.find(keys) {
            return configured(self.owners[at as usize]);
        }
        let Some(book) = self.book.current() else { return Err(nobody_known()) };
        let now = now_ms();
        if let Some(sender) = self.stored(&book, keys, ids, now) {
            return Ok(WriteAccess { sender });
        }
        if keys.is_empty() && !ids.is_empty() {
            return Err(ApiError::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "no [[source]] of the configuration and no public key has this id",
            ));
        }
        Err(WRITE.refusal(keys))
    }

    /// Checks the signature of a webhook's body, as [`Signers::find`] does.
    pub fn by_signature(
        &self,
        vendor: WebhookVendor,
        signature: &Signature,
        body: &[u8],
    ) -> Result<WriteAccess, ApiError> {
        let place = self.signers.find(vendor, signature, body)?;
        Ok(WriteAccess { sender: self.senders[place].clone() })
    }

    /// Checks the secret that a webhook has with it, as [`Signers::find_token`] does.
    pub fn by_token(&self, vendor: WebhookVendor, token: &str) -> Result<WriteAccess, ApiError> {
        let place = self.signers.find_token(vendor, token)?;
        Ok(WriteAccess { sender: self.senders[place].clone() })
    }

    /// The source of this name, for which a secret key sends dead letters again.
    pub fn in_place_of(&self, sender: &EventSender, source: &[u8]) -> Option<&EventSender> {
        let named = |known: &&Arc<EventSender>| known.source.as_bytes() == source;
        self.senders.iter().filter(|_| !sender.is_public).find(named).map(|found| &**found)
    }

    /// Whether nobody can be let in: the configuration names nobody, and this node has never read the book.
    pub fn knows_nobody(&self) -> bool {
        self.names_nobody() && self.book.current().is_none()
    }

    /// Whether the configuration names nobody who sends with a key, or with an id that stands for one.
    fn names_nobody(&self) -> bool {
        self.list.allowed.is_empty() && self.ids.is_empty()
    }

    /// Access for somebody without a key, where nobody needs one.
    fn let_anybody_in(&self) -> Option<WriteAccess> {
        if !self.names_nobody() || !self.may_be_open {
            return None;
        }
        let open = self.book.current().is_some_and(|book| !book.stored().sends_closed);
        open.then(|| WriteAccess { sender: self.anybody.clone() })
    }

    /// The sender of the book that has one of these ids or keys.
    fn stored(
        &self,
        book: &Arc<Book>,
        keys: &[String],
        ids: &[String],
        now: Millis,
    ) -> Option<Arc<EventSender>> {
        let is_current = |stored: &StoredSenders| {
            stored.book.as_ref().is_some_and(|known| Arc::ptr_eq(known, book))
        };
        if !is_current(&self.stored.read()) {
            self.stored.write().take_over(book, self.is_chosen);
        }
        let stored = self.stored.read();
        let by_id = ids.iter().filter_map(|id| stored.by_id.get(id));
        let by_key = keys.iter().filter_map(|key| stored.by_secret.get(&secret::hash(key)));
        let is_good = |end: &Option<Millis>| end.is_none_or(|end| now < end);
        let found = by_id.chain(by_key).find(|(_, expires_at)| is_good(expires_at));
        found.map(|(sender, _)| sender.clone())
    }
}

impl StoredSenders {
    /// Takes over the keys of a new book.
    fn take_over(&mut self, book: &Arc<Book>, is_chosen: bool) {
        self.by_secret.clear();
        self.by_id.clear();
        for identity in book.of_kind("key") {
            let Some(key) = identity.as_key() else { continue };
            let sender = Arc::new(EventSender::stored(key).unless_chosen(is_chosen));
            let sender = (sender, identity.expires_at);
            self.by_id.extend(key.ids.iter().map(|id| (id.clone(), sender.clone())));
            self.by_secret.insert(key.secret.clone(), sender);
        }
        self.book = Some(book.clone());
    }
}

/// The texts at the places where write keys usually stand: `Authorization: Bearer KEY`, Basic auth
/// with the key as user name, `X-Write-Key`, or `?key=` (for sendBeacon, which sets no headers).
pub fn usual_write_keys(request: &HttpRequest) -> Vec<String> {
    offered(request, &WRITE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::StoredBook;

    /// An empty book: nobody was ever named.
    fn open_book() -> SharedBook {
        SharedBook::of(Book::new(StoredBook::default()))
    }

    fn keys(allowed: &[&str], book: SharedBook) -> WriteKeys {
        let mut config = Config::default();
        config.auth.write_keys = allowed.iter().map(|key| (*key).to_owned()).collect();
        WriteKeys::new(&config, book)
    }

    fn number(access: Result<WriteAccess, ApiError>) -> Result<Option<u32>, u16> {
        access.map(|access| access.sender.number).map_err(|error| error.status.as_u16())
    }

    #[test]
    fn a_sender_gets_access_by_a_key_in_the_head_or_in_the_body() {
        let keys = keys(&["a", "b"], open_book());
        let offer = |key: &str| vec![key.to_owned()];
        let access = keys.in_head(|| Offer::Head(offer("b"))).unwrap();
        assert_eq!(access.map(|access| access.sender.number), Some(Some(1)));
        assert_eq!(keys.in_head(|| Offer::Head(offer("c"))).unwrap_err().code, "unauthorized");
        assert!(keys.in_head(|| Offer::Head(Vec::new())).is_err());
        assert!(keys.in_head(|| Offer::Body).unwrap().is_none(), "the body decides");
        assert_eq!(number(keys.in_body(&offer("a"), &[])), Ok(Some(0)));
        // A dialect that sends the guard to the body and finds no key there lets nobody in.
        assert!(keys.in_body(&[], &[]).is_err());
    }

    #[test]
    fn without_keys_nobody_is_asked_for_one() {
        let keys = keys(&[], open_book());
        let access = keys.in_head(|| unreachable!("no need to look")).unwrap();
        assert_eq!(access.map(|access| access.sender.number), Some(None));
    }

    #[test]
    fn nobody_is_let_in_unknown_where_that_is_not_known_to_be_right() {
        let given = ["x".to_owned()];
        // There was a key once, and it was revoked.
        let closed = StoredBook { sends_closed: true, ..StoredBook::default() };
        let closed = keys(&[], SharedBook::of(Book::new(closed)));
        assert_eq!(number(closed.in_body(&given, &[])), Err(401));
        // The store has not been read yet; those of the configuration are known all the same.
        assert_eq!(number(keys(&[], SharedBook::default()).in_body(&given, &[])), Err(503));
        let configured = keys(&["a"], SharedBook::default());
        assert_eq!(number(configured.in_body(&["a".to_owned()], &[])), Ok(Some(0)));
        assert_eq!(number(configured.in_body(&given, &[])), Err(503));
        // Other machines reach it.
        let config = Config { listen: "0.0.0.0:80".to_owned(), ..Config::default() };
        assert_eq!(number(WriteKeys::new(&config, open_book()).in_body(&[], &[])), Err(401));
    }

    #[test]
    fn a_source_is_known_by_each_of_its_keys_and_ids() {
        let text = "[[source]]\nname = 'web'\nkey = ['w1', 'w2']\nids = 'shop.example'\n\
                    public = true\nallowed_origins = 'https://shop.example'";
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("f.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(Some(&file), std::iter::empty(), &Default::default()).unwrap();
        let keys = WriteKeys::new(&config, open_book());
        let of = |keys_: &[&str], ids: &[&str]| {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            keys.in_body(&owned(keys_), &owned(ids))
        };
        for (key, id) in [("w1", ""), ("w2", ""), ("", "shop.example")] {
            assert_eq!(number(of(&[key], &[id])), Ok(Some(0)), "{key} {id}");
        }
        let sender = of(&["w1"], &[]).unwrap().sender;
        assert!(sender.is_public && sender.source == "web");
        assert!(of(&["shop.example"], &[]).is_err(), "an id is no key");
        assert!(of(&[], &["w1"]).is_err(), "a key is no id");
        let from = |origin: &str| {
            let request = actix_web::test::TestRequest::default();
            let request = request.insert_header(("Origin", origin)).to_http_request();
            sender.check_origin(&request).map_err(|error| error.status.as_u16())
        };
        assert_eq!(from("https://shop.example"), Ok(()));
        assert_eq!(from("https://other.example"), Err(403));
    }
}
