//! Finds out which server of a cluster owns a key.

use redis::{ConnectionAddr, RedisResult, Value, aio::MultiplexedConnection};

/// The slots of a cluster with their owners, as one of its servers knows them.
pub(super) struct Slots {
    /// First slot, last slot, and the server that owns these.
    ranges: Vec<(u16, u16, Option<ConnectionAddr>)>,
}

impl Slots {
    /// Asks the server that is reached at `way_in`.
    pub async fn ask(
        line: &mut MultiplexedConnection,
        way_in: &ConnectionAddr,
    ) -> RedisResult<Slots> {
        let told: Vec<Vec<Value>> = redis::cmd("CLUSTER").arg("SLOTS").query_async(line).await?;
        Slots::read(told, way_in)
    }

    /// Reads the answer to CLUSTER SLOTS. A range is its first and last slot, then its servers, the
    /// master first. A server is host, port and more.
    /// Source: redis.io/docs/latest/commands/cluster-slots
    fn read(told: Vec<Vec<Value>>, way_in: &ConnectionAddr) -> RedisResult<Slots> {
        let range = |mut range: Vec<Value>| {
            let servers = range.split_off(2.min(range.len()));
            let (first, last) = redis::from_redis_value(Value::Array(range))?;
            let master = servers.into_iter().next().unwrap_or(Value::Nil);
            let master: Vec<Value> = redis::from_redis_value(master)?;
            Ok((first, last, address(&master, way_in)))
        };
        let ranges = told.into_iter().map(range).collect::<RedisResult<_>>()?;
        Ok(Slots { ranges })
    }

    /// Every server that owns a range.
    pub fn owners(&self) -> impl Iterator<Item = &ConnectionAddr> {
        self.ranges.iter().filter_map(|range| range.2.as_ref())
    }

    /// The server that owns a slot.
    pub fn owner(&self, slot: u16) -> Option<&ConnectionAddr> {
        let range = self.ranges.iter().find(|range| (range.0..=range.1).contains(&slot))?;
        range.2.as_ref()
    }
}

/// The slot of a key.
pub(super) async fn of_key(line: &mut MultiplexedConnection, key: &str) -> RedisResult<u16> {
    redis::cmd("CLUSTER").arg("KEYSLOT").arg(key).query_async(line).await
}

/// The address of a server, from what CLUSTER SLOTS says of it.
fn address(server: &[Value], way_in: &ConnectionAddr) -> Option<ConnectionAddr> {
    let host: Option<String> = redis::from_redis_value(server.first()?.clone()).ok()?;
    let port: u16 = redis::from_redis_value(server.get(1)?.clone()).ok()?;
    // Without a name, the server does not know how it is reached. We have just reached it, so the
    // name is ours.
    let host = host.filter(|host| !host.is_empty() && host != "?");
    Some(at(way_in, host, port))
}

/// The address of another server of the cluster, which is connected to in the same way.
fn at(like: &ConnectionAddr, host: Option<String>, port: u16) -> ConnectionAddr {
    match like.clone() {
        ConnectionAddr::TcpTls { host: same, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: host.unwrap_or(same), port, insecure, tls_params }
        }
        ConnectionAddr::Tcp(same, _) => ConnectionAddr::Tcp(host.unwrap_or(same), port),
        other => host.map_or(other, |host| ConnectionAddr::Tcp(host, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(first: i64, last: i64, host: &str, port: i64) -> Vec<Value> {
        let host = Value::BulkString(host.into());
        let master = Value::Array(vec![host, Value::Int(port)]);
        vec![Value::Int(first), Value::Int(last), master]
    }

    #[test]
    fn a_slot_has_the_master_of_its_range() {
        let way_in = ConnectionAddr::Tcp("seed".into(), 7_000);
        let told = vec![range(0, 8_191, "other", 7_001), range(8_192, 16_000, "?", 7_002)];
        let slots = Slots::read(told, &way_in).unwrap();
        assert_eq!(slots.owner(0), Some(&ConnectionAddr::Tcp("other".into(), 7_001)));
        assert_eq!(slots.owner(8_191), slots.owner(0));
        // This server does not know its own name, so it has the name by which it was asked.
        assert_eq!(slots.owner(8_192), Some(&ConnectionAddr::Tcp("seed".into(), 7_002)));
        assert_eq!(slots.owner(16_001), None);
        assert_eq!(slots.owners().count(), 2);
    }
}
