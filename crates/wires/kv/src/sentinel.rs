//! Who the master of a watched set is: asked of the sentinels in turn.

use bytes::Bytes;

use crate::Error;
use crate::link::Link;

/// Asks the sentinels until one knows the master.
pub async fn master(sentinels: &[Link], name: &str) -> Result<(String, u16), Error> {
    let question = ["SENTINEL", "get-master-addr-by-name", name].map(|part| Bytes::copy_from_slice(part.as_bytes()));
    let mut last = Error::Unavailable("no sentinel is configured".to_owned());
    for sentinel in sentinels {
        match sentinel.command(&question).await {
            Ok(answer) => match address(&answer) {
                Some(found) => return Ok(found),
                None => last = Error::Unavailable(format!("the sentinels know no master '{name}'")),
            },
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn address(answer: &redis::Value) -> Option<(String, u16)> {
    let (host, port): (String, u16) = redis::from_redis_value(answer.clone()).ok()?;
    Some((host, port))
}
