//! What holds for all dialects: the list has no doubles, and the limits of a request are kept.

use std::collections::HashSet;

use super::*;

/// Names and paths of all dialects.
#[derive(Default)]
struct Seen {
    names: HashSet<&'static str>,
    paths: HashSet<&'static str>,
}

impl ForEach for Seen {
    fn dialect<D: Dialect>(&mut self) {
        assert!(self.names.insert(D::NAME), "{} is the name of two dialects", D::NAME);
        assert!(!D::ENDPOINTS.is_empty(), "{} listens nowhere", D::NAME);
        for endpoint in D::ENDPOINTS {
            assert!(endpoint.path.starts_with('/'), "{}", endpoint.path);
            assert!(!endpoint.methods.is_empty(), "{} takes no method", endpoint.path);
            assert!(self.paths.insert(endpoint.path), "{} belongs to two dialects", endpoint.path);
        }
    }
}

#[test]
fn dialects_share_no_name_and_no_path() {
    let mut seen = Seen::default();
    for_each(&mut seen);
    assert!(seen.names.contains("native") && seen.paths.contains("/v1/events"));
}

#[test]
fn a_request_never_has_more_events_than_it_may() {
    assert!(Split::new(vec![(); 3], Field::Absent, 3).is_ok());
    let too_many = Split::new(vec![(); 4], Field::Absent, 3).unwrap_err();
    assert_eq!(too_many, TooManyEvents { events: 4, max: 3 });
    assert_eq!(ApiError::from(too_many).status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn duplicates_alone_are_no_refusal() {
    let rejected = || vec![Rejected { index: 0, reason: Rejection::MissingType }];
    assert!(!Outcome::default().all_rejected(), "no events at all");
    assert!(Outcome { rejected: rejected(), ..Outcome::default() }.all_rejected());
    assert!(!Outcome { duplicates: 1, rejected: rejected(), ..Outcome::default() }.all_rejected());
}
