//! `GET /api/analytics/occasions`: the days that others can be compared with by a name.

use actix_web::{HttpResponse, web};

use crate::{
    domain::occasion::Occasions,
    http::{current::no_store, scope::View},
};

/// Adds the route.
pub fn routes(view: &mut View) {
    view.read_veiled("/api/analytics/occasions", occasions);
}

/// `[{"name","title","start","end"}]`, in the order of the configuration; moments in Unix ms.
async fn occasions(occasions: web::Data<Occasions>) -> HttpResponse {
    no_store().json(occasions.all())
}
