//! Request bodies that a plugin needs whole in memory, wherever the gateway put them, and work that is too long for a
//! worker.

use std::os::unix::fs::FileExt;

use bytes::Bytes;
use gibbon_pdk::{Host, RequestBody, SpooledBody};

/// Work on fewer bytes than this is done where it is asked for: it takes a fraction of a millisecond.
const SHORT: usize = 32 << 10;

/// The body; `Err` says why it cannot be had.
pub async fn whole(body: &RequestBody, host: &Host, limit: usize) -> Result<Bytes, String> {
    match body {
        RequestBody::Empty | RequestBody::Unread => Ok(Bytes::new()),
        RequestBody::Whole(bytes) => Ok(bytes.clone()),
        RequestBody::Spooled(file) if file.len > limit as u64 => Err(format!("the body is larger than {limit} bytes")),
        RequestBody::Spooled(file) => {
            let file = file.clone();
            let read = run(host, move || read(&file)).await?;
            read.map_err(|error| format!("the buffered body cannot be read: {error}"))
        }
    }
}

/// The result of `work` over `bytes`, done off the worker if there are many; `Err` if no thread is free for it.
pub async fn work<T: Send + 'static>(
    host: &Host,
    bytes: Bytes,
    work: impl FnOnce(Bytes) -> T + Send + 'static,
) -> Result<T, String> {
    if bytes.len() < SHORT {
        return Ok(work(bytes));
    }
    run(host, move || work(bytes)).await
}

async fn run<T: Send + 'static>(host: &Host, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let done = host.compute.run(Box::new(move || Box::new(work()) as Box<dyn std::any::Any + Send>)).await;
    let done = done.and_then(|done| done.downcast::<T>().ok());
    done.map(|done| *done).ok_or_else(|| "no thread is free to work on the body".to_owned())
}

fn read(file: &SpooledBody) -> std::io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(file.len).unwrap_or(0)];
    file.file.read_exact_at(&mut bytes, 0)?;
    Ok(Bytes::from(bytes))
}
