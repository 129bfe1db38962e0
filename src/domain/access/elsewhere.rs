//! Users who sign in at an OpenID provider: it says who they are, and what they are to the shop.

use super::{
    AccessChange, AccessFault, Account, Book, Identity, IdentityKind, OidcSubject, Role,
    change::{By, NewIdentity},
};

impl Book {
    /// The user whom the provider knows as this.
    pub fn elsewhere(&self, who: &OidcSubject) -> Option<&Identity> {
        let is_it =
            |it: &&Identity| it.as_user().is_some_and(|user| user.elsewhere.as_ref() == Some(who));
        self.of_kind("user").find(is_it)
    }

    /// Notes that somebody has signed in at the provider with this role. Whoever comes for the first time gets
    /// the id and the name; `None` where nothing has changed since the last time.
    ///
    /// # Errors
    /// Somebody else has the name, there are too many users, or this was the last admin.
    pub fn sign_in_elsewhere(
        &self,
        by: By<'_>,
        who: &OidcSubject,
        role: Role,
        (id, name): (&str, &str),
    ) -> Result<Option<AccessChange>, AccessFault> {
        if let Some(user) = self.elsewhere(who) {
            let known = user.as_user().map(|account| (account.role, account.sees_money));
            return match known {
                Some((known, sees_money)) if known != role => {
                    self.set_role(by, &user.id, role, sees_money).map(Some)
                }
                _ => Ok(None),
            };
        }
        let account = Account {
            role,
            sees_money: true,
            password: None,
            generation: 0,
            ended: Vec::new(),
            elsewhere: Some(who.clone()),
        };
        let new = NewIdentity {
            id: id.to_owned(),
            name: name.to_owned(),
            expires_at: None,
            kind: IdentityKind::User(account),
            viewers_configured: true,
        };
        self.add(by, new).map(Some)
    }
}
