//! Answers that say by a tag which numbers they are of, so that who asks again is told in a few bytes that nothing
//! has changed.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    http::{
        StatusCode,
        header::{ETag, EntityTag, Header, IfNoneMatch, TryIntoHeaderPair},
    },
};
use sha2::{Digest, Sha256};

/// The tag of some contents. It is a weak one, since the answer may be compressed.
pub(super) fn tag_of(contents: &[u8]) -> EntityTag {
    let hash = Sha256::digest(contents);
    EntityTag::new_weak(hash[..16].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Whether the client has what this tag is of (`If-None-Match`).
pub(super) fn is_known(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|it| it.weak_eq(tag)),
        Err(_) => false,
    }
}

/// The answer with the tag of its body; 304 without a body where the client has these very contents
/// (`If-None-Match`). A body that is not in memory goes as it is.
pub(super) fn tagged(request: &HttpRequest, answer: HttpResponse) -> HttpResponse {
    let (mut answer, body) = answer.into_parts();
    let body = match body.try_into_bytes() {
        Ok(body) => body,
        Err(streamed) => return answer.set_body(streamed),
    };
    let tag = tag_of(&body);
    let is_known = is_known(request, &tag);
    if let Ok((name, value)) = ETag(tag).try_into_pair() {
        answer.headers_mut().insert(name, value);
    }
    if is_known {
        *answer.status_mut() = StatusCode::NOT_MODIFIED;
        return answer.set_body(BoxBody::new(()));
    }
    answer.set_body(BoxBody::new(body))
}

#[cfg(test)]
mod tests {
    use actix_web::{
        http::header::{ETAG, IF_NONE_MATCH},
        test::TestRequest,
    };

    use super::*;

    fn answer(known: Option<&str>) -> HttpResponse {
        let request = TestRequest::default();
        let request =
            known.into_iter().fold(request, |it, tag| it.insert_header((IF_NONE_MATCH, tag)));
        tagged(&request.to_http_request(), HttpResponse::Ok().json([1, 2, 3]))
    }

    #[test]
    fn who_has_these_contents_is_told_so() {
        let first = answer(None);
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers().get(ETAG).unwrap().to_str().unwrap().to_owned();
        assert_eq!(first.into_body().try_into_bytes().unwrap(), "[1,2,3]");
        let strong = tag.trim_start_matches("W/");
        for known in [tag.as_str(), strong, "*", &format!("\"other\", {tag}")] {
            let again = answer(Some(known));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers().get(ETAG).unwrap().to_str().unwrap(), tag);
            assert!(again.into_body().try_into_bytes().unwrap().is_empty());
        }
        for other in ["W/\"other\"", "", "nonsense"] {
            assert_eq!(answer(Some(other)).status(), StatusCode::OK, "{other}");
        }
    }
}
