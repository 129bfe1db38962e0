//! The scope of viewers, and of those who decide who has access.

use actix_web::{
    FromRequest, Handler, Resource, Responder, Route,
    body::BoxBody,
    dev::ServiceRequest,
    http::Method,
    middleware::{Next, from_fn},
};

use super::{Guards, RouteList, hung, let_in};
use crate::{
    domain::access::Permission,
    http::{auth::Need, methods, origin},
};

/// The scope of viewers. Each of its routes is guarded by who may call it
/// ([`ViewerGuard`](crate::http::auth::ViewerGuard)). Unless a route says otherwise, it is for those only
/// who may see everything.
pub struct View {
    pub(super) guards: Guards,
    pub(super) reads: Vec<Resource>,
    pub(super) sockets: Vec<Resource>,
    list: RouteList,
}

/// What answers some methods of a path.
pub struct RoutePart<F> {
    /// The handler.
    pub handler: F,
    /// The parameters of the query that it reads.
    pub parameters: &'static [&'static str],
}

impl View {
    pub(super) fn new(guards: Guards, list: RouteList) -> View {
        View { guards, reads: Vec::new(), sockets: Vec::new(), list }
    }

    /// Hangs a path that all viewers read (GET, HEAD). Its handler takes the [`Principal`] and leaves out
    /// what they may not see.
    ///
    /// [`Principal`]: crate::http::auth::Principal
    pub fn read_veiled<F, Args>(&mut self, path: &str, handler: F) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let permission = Some(Permission::Numbers);
        let need = Need { permission, veils: true, changes: false };
        self.hang(methods::READ, need, path, handler)
    }

    /// Hangs a path that viewers read (GET, HEAD) who may see all numbers.
    pub fn read<F, Args>(&mut self, path: &str, handler: F) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.read_with(Permission::Numbers, path, handler)
    }

    /// Hangs a path that those read who have this permission and may see everything.
    pub fn read_with<F, Args>(
        &mut self,
        permission: Permission,
        path: &str,
        handler: F,
    ) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let need = Need { permission: Some(permission), veils: false, changes: false };
        self.hang(methods::READ, need, path, handler)
    }

    /// Hangs a path that everybody reads who is known, whatever they may do. It shows no numbers.
    pub fn read_known<F, Args>(&mut self, path: &str, handler: F) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let need = Need { permission: None, veils: true, changes: false };
        self.hang(methods::READ, need, path, handler)
    }

    /// Hangs a path at which those change something (POST) who have this permission; or, with `None`,
    /// everybody who is known changes what is their own.
    pub fn change<F, Args>(
        &mut self,
        permission: Option<Permission>,
        path: &str,
        handler: F,
    ) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.hang(methods::CHANGE, Need { permission, veils: true, changes: true }, path, handler)
    }

    /// Hangs a path that all viewers read as at [`View::read_veiled`], and at which those make something (POST)
    /// and take it away (DELETE) who have this permission.
    pub fn read_make_remove<R, ReadArgs, M, MakeArgs, D, RemoveArgs>(
        &mut self,
        path: &str,
        read: RoutePart<R>,
        permission: Permission,
        make: M,
        remove: RoutePart<D>,
    ) -> &mut View
    where
        R: Handler<ReadArgs>,
        ReadArgs: FromRequest + 'static,
        R::Output: Responder + 'static,
        M: Handler<MakeArgs>,
        MakeArgs: FromRequest + 'static,
        M::Output: Responder + 'static,
        D: Handler<RemoveArgs>,
        RemoveArgs: FromRequest + 'static,
        D::Output: Responder + 'static,
    {
        let reads = Need { permission: Some(Permission::Numbers), veils: true, changes: false };
        let changes = Need { permission: Some(permission), veils: true, changes: true };
        let part = |methods, parameters| {
            let mut part = hung(path, methods, "view");
            part.parameters = parameters;
            part
        };
        let parts = [
            (
                part(methods::READ, read.parameters),
                self.guarded(methods::READ, reads, read.handler),
            ),
            (part(methods::CHANGE, &[]), self.guarded(methods::CHANGE, changes, make)),
            (
                part(methods::REMOVE, remove.parameters),
                self.guarded(methods::REMOVE, changes, remove.handler),
            ),
        ];
        self.reads.push(methods::resource_of(parts, &self.list));
        self
    }

    fn hang<F, Args>(
        &mut self,
        methods: &'static [Method],
        need: Need,
        path: &str,
        handler: F,
    ) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = self.guarded(methods, need, handler);
        self.reads.push(methods::resource(hung(path, methods, "view"), route, &self.list));
        self
    }

    /// A route for these methods, which lets in whoever meets the need.
    fn guarded<F, Args>(&self, methods: &'static [Method], need: Need, handler: F) -> Route
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let viewers = self.guards.viewers.clone();
        let guard = move |request: ServiceRequest, next: Next<BoxBody>| {
            let checked = viewers.check(request.request(), need);
            let_in(checked, request, next)
        };
        methods::route(methods, handler).wrap(from_fn(guard))
    }

    /// Says which parameters the handler of the last path reads.
    pub fn parameters(&mut self, names: &'static [&'static str]) -> &mut View {
        self.list.set_parameters(names);
        self
    }

    /// Hangs a path at which viewers open a WebSocket. The guard checks the page that opens it,
    /// then who it is. What goes over it is for the handler to veil.
    pub fn socket<F, Args>(&mut self, path: &str, handler: F) -> &mut View
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        const METHODS: &[Method] = &[Method::GET];
        let Guards { viewers, allowed_origins, .. } = self.guards.clone();
        let need = Need { permission: Some(Permission::Numbers), veils: true, changes: false };
        let guard = move |request: ServiceRequest, next: Next<BoxBody>| {
            let head = request.request();
            let checked = origin::check(head, &allowed_origins);
            let checked = checked.and_then(|()| viewers.check(head, need));
            let_in(checked, request, next)
        };
        let route = methods::route(METHODS, handler).wrap(from_fn(guard));
        self.sockets.push(methods::resource(hung(path, METHODS, "view"), route, &self.list));
        self
    }
}
