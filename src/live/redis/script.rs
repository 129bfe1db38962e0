//! The Lua scripts. A script is called by its hash. A server that does not know the hash yet is
//! sent the text with the call. The text is not loaded beforehand, so that in a cluster only the
//! server that has the keys is asked.

use std::{borrow::Cow, sync::LazyLock};

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::ConnectionLike};

/// One script: its text, and the hash that Redis knows it by.
pub(super) struct Script {
    code: Cow<'static, str>,
    hash: String,
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));
    };
}
script!(APPLY, "apply.lua");
script!(DISTINCT, "distinct.lua");
script!(LOAD, "load.lua");
script!(REREAD, "reread.lua");
script!(INSTALL, "install.lua");
script!(HEAD, "head.lua");
script!(RIGHTS, "rights.lua");
script!(UNLOCK, "unlock.lua");
script!(LEASE, "lease.lua");
script!(LINK, "link.lua");
script!(SEEN, "seen.lua");
script!(RECLAIM, "reclaim.lua");
script!(KEEP, "keep.lua");
script!(RELEASE, "release.lua");

impl Script {
    fn new(code: &'static str) -> Script {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Script { code: Cow::Borrowed(code), hash }
    }

    /// The script that claims ids, of one run of a node.
    pub(super) fn claim(run: &str) -> Script {
        Script::named(include_str!("scripts/claim.lua"), run)
    }

    /// The script that says who owes its ids, of one shard.
    pub(super) fn owe(shard: &str) -> Script {
        Script::named(include_str!("scripts/owe.lua"), shard)
    }

    /// A script that has a hash of its own, by a name in its last line. Whether a server knows it
    /// then says whether that server was told of it since it started: scripts are neither saved nor
    /// replicated.
    fn named(code: &str, name: &str) -> Script {
        let code = format!("{code}-- {name}\n");
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Script { code: Cow::Owned(code), hash }
    }

    /// Runs the script where the server knows it; `None` where it does not.
    pub(super) async fn call_known<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> RedisResult<Option<T>> {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.hash).arg(keys.len()).arg(keys).arg(args);
        match command.query_async(connection).await {
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Runs the script. All `keys` must share a hash tag, or a cluster refuses the call.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        connection: &mut impl ConnectionLike,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> RedisResult<T> {
        let command = |name: &str, script: &str| {
            let mut command = redis::cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(args);
            command
        };
        let known = command("EVALSHA", &self.hash);
        match known.query_async(connection).await {
            Err(e) if e.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                command("EVAL", &self.code).query_async(connection).await
            }
            answer => answer,
        }
    }
}
