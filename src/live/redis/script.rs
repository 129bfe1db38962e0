//! The Lua scripts. Called by their hash; a server that does not know it yet is sent the
//! text once, with the call, so that only the server that has the key is asked.

use std::sync::LazyLock;

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::ConnectionLike};

/// One script.
pub(super) struct Script {
    code: &'static str,
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
script!(INSTALL, "install.lua");
script!(HEAD, "head.lua");
script!(UNLOCK, "unlock.lua");
script!(LEASE, "lease.lua");
script!(CLAIM, "claim.lua");
script!(KEEP, "keep.lua");
script!(RELEASE, "release.lua");

impl Script {
    fn new(code: &'static str) -> Script {
        let hash = redis::Script::new(code).get_hash().to_owned();
        Script { code, hash }
    }

    /// Runs it. `keys` must share a hash tag.
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
                command("EVAL", self.code).query_async(connection).await
            }
            answer => answer,
        }
    }
}
