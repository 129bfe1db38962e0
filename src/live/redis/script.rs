//! The Lua scripts. A script is called by its hash. A server that does not know the hash yet is
//! sent the text with the call. The text is not loaded beforehand, so that in a cluster only the
//! server that has the keys is asked.

use std::sync::LazyLock;

use redis::{ErrorKind, FromRedisValue, RedisResult, ServerErrorKind, aio::ConnectionLike};

/// One script: its text, and the hash that Redis knows it by.
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
script!(REREAD, "reread.lua");
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
                command("EVAL", self.code).query_async(connection).await
            }
            answer => answer,
        }
    }
}
