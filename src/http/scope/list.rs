//! The list of all routes, which the scopes write as they take routes up. What is said of the routes
//! elsewhere (`docs/openapi.json`) is compared with it.

use std::{cell::RefCell, rc::Rc};

use actix_web::http::Method;

/// A route, and who may call it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HungRoute {
    /// The whole path, with variables as actix writes them: `/api/{project}/envelope/`.
    pub path: String,
    /// The methods that it takes.
    pub methods: &'static [Method],
    /// The scope in which it hangs: `collect`, `view` or `open`; `signed` in `collect` where its requests
    /// have a signature in the place of a key.
    pub scope: &'static str,
    /// The parameters of the query that its handler reads, without the scope's own (a key, a token).
    pub parameters: &'static [&'static str],
}

/// The routes of an app. A clone is the same list, so that each scope has it.
#[derive(Clone, Debug, Default)]
pub struct RouteList(Rc<RefCell<Vec<HungRoute>>>);

impl RouteList {
    /// Adds a route.
    pub fn add(&self, route: HungRoute) {
        self.0.borrow_mut().push(route);
    }

    /// Says what the handler of the last route reads of the query.
    pub fn set_parameters(&self, parameters: &'static [&'static str]) {
        if let Some(last) = self.0.borrow_mut().last_mut() {
            last.parameters = parameters;
        }
    }

    /// All routes, in the order in which they were hung.
    pub fn routes(&self) -> Vec<HungRoute> {
        self.0.borrow().clone()
    }
}
