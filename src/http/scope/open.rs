//! The scope of everybody.

use actix_web::{
    FromRequest, Handler, Resource, Responder,
    body::BoxBody,
    dev::ServiceRequest,
    middleware::{Next, from_fn},
};

use super::{RouteList, hung, let_in};
use crate::http::{auth::of_our_page, methods};

/// The scope of what everybody may see. It has no guard.
pub struct Open {
    pub(super) reads: Vec<Resource>,
    pub(super) probes: Vec<Resource>,
    pub(super) scripts: Vec<Resource>,
    list: RouteList,
}

impl Open {
    pub(super) fn new(list: RouteList) -> Open {
        Open { reads: Vec::new(), probes: Vec::new(), scripts: Vec::new(), list }
    }

    /// Hangs a path that everybody reads (GET, HEAD).
    pub fn read<F, Args>(&mut self, path: &str, handler: F) -> &mut Open
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = methods::route(methods::READ, handler);
        self.reads.push(methods::resource(hung(path, methods::READ, "open"), route, &self.list));
        self
    }

    /// Says which parameters the handler of the last path reads.
    pub fn parameters(&mut self, names: &'static [&'static str]) -> &mut Open {
        self.list.set_parameters(names);
        self
    }

    /// Hangs a path at which load balancers and orchestrators ask whether the server is well. They may
    /// call it by any name, and no page shows what they get.
    pub fn probe<F, Args>(&mut self, path: &str, handler: F) -> &mut Open
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = methods::route(methods::READ, handler);
        self.probes.push(methods::resource(hung(path, methods::READ, "open"), route, &self.list));
        self
    }

    /// Hangs a script that the pages of any site load. They may call the server by any name, as they do when
    /// they send, and the script says itself how long a browser may keep it.
    pub fn script<F, Args>(&mut self, path: &str, handler: F) -> &mut Open
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = methods::route(methods::READ, handler);
        self.scripts.push(methods::resource(hung(path, methods::READ, "open"), route, &self.list));
        self
    }

    /// Hangs a path at which our own page signs people in or out (POST). A page of another site must not,
    /// or its visitors would be signed in as somebody else without knowing it.
    pub fn enter<F, Args>(&mut self, path: &str, handler: F) -> &mut Open
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let guard = |request: ServiceRequest, next: Next<BoxBody>| {
            let checked = of_our_page(request.request());
            let_in(checked, request, next)
        };
        let route = methods::route(methods::CHANGE, handler).wrap(from_fn(guard));
        self.reads.push(methods::resource(hung(path, methods::CHANGE, "open"), route, &self.list));
        self
    }
}
