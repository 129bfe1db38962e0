//! Nothing is reached beside the scopes, and each lets in whom it is for.

use actix_web::{HttpResponse, http::StatusCode, test};

use super::*;
use crate::{domain::access::Book, http::dialect};

async fn numbers() -> HttpResponse {
    HttpResponse::Ok().body("secret")
}

/// Guards with the viewer token `v`.
fn guards() -> Guards {
    let mut config = Config::default();
    config.auth.viewer_tokens = vec!["v".to_owned()];
    Guards::new(&config, SharedBook::of(Book::default()))
}

/// The status of a GET, with this viewer token.
macro_rules! get {
    ($app:expr, $path:expr, $token:expr) => {{
        let request = test::TestRequest::get().uri($path);
        let request = request.insert_header(("Authorization", format!("Bearer {}", $token)));
        test::call_service(&$app, request.to_request()).await.status()
    }};
}

#[actix_web::test]
async fn a_resource_beside_the_scopes_is_never_reached() {
    let hang = |scopes: &mut Scopes<'_>| {
        dialect::for_each(&mut scopes.collect);
        scopes.view.read("/numbers", numbers);
    };
    let app = app(guards(), hang)
        .service(web::resource("/naked").to(numbers))
        .service(web::resource("/v1/naked").to(numbers))
        .route("/route", web::get().to(numbers))
        .configure(|config| {
            config.service(web::resource("/configured").to(numbers));
        });
    let app = test::init_service(app).await;
    for path in ["/naked", "/v1/naked", "/route", "/configured"] {
        assert_eq!(get!(app, path, "v"), StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(get!(app, "/numbers", "v"), StatusCode::OK);
}

#[actix_web::test]
async fn each_scope_lets_in_whom_it_is_for() {
    let hang = |scopes: &mut Scopes<'_>| {
        scopes.view.read("/view", numbers).socket("/socket", numbers);
        scopes.open.read("/open", numbers);
    };
    let app = test::init_service(app(guards(), hang)).await;
    for path in ["/view", "/socket"] {
        assert_eq!(get!(app, path, "v"), StatusCode::OK, "{path}");
        assert_eq!(get!(app, path, "w"), StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!(get!(app, "/open", "w"), StatusCode::OK);
    let other_page = test::TestRequest::get().uri("/socket").insert_header(("Origin", "http://x"));
    let refused = test::call_service(&app, other_page.to_request()).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN, "the page is looked at before the token");
}
