//! Ports behind which there is nothing on this node: each answers at once that it is absent.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use gibbon_pdk::{
    Compute, Deliver, Dial, DialTarget, Duplex, HttpClient, Kv, KvError, KvValue, LocalFuture, Metrics, OutcallError,
    OutcallRequest, OutcallResponse, OutcallTls, Queue, QueueEntry, QueueSettings, Queues, SendFuture, Store,
    StoreError,
};
use serde_json::Value;

/// Nothing.
pub struct Absent;

impl HttpClient for Absent {
    fn call(&self, _request: OutcallRequest) -> SendFuture<'_, Result<OutcallResponse, OutcallError>> {
        Box::pin(async { Err(OutcallError::Protocol("this node makes no outgoing calls".into())) })
    }
}

impl Dial for Absent {
    fn connect(
        &self,
        _: DialTarget,
        _: Option<OutcallTls>,
        _: Duration,
    ) -> SendFuture<'_, std::io::Result<Box<dyn Duplex>>> {
        Box::pin(async { Err(std::io::ErrorKind::Unsupported.into()) })
    }
}

impl Store for Absent {
    fn get<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> SendFuture<'a, Result<Option<Value>, StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn put<'a>(&'a self, _: &'a str, _: Value, _: Option<Duration>) -> SendFuture<'a, Result<Value, StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn delete<'a>(&'a self, _: &'a str, _: &'a str) -> SendFuture<'a, Result<(), StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: &'a str) -> SendFuture<'a, Result<Vec<Value>, StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn increment<'a>(&'a self, _: &'a str, _: i64, _: Duration) -> SendFuture<'a, Result<i64, StoreError>> {
        Box::pin(async { Err(StoreError::Absent) })
    }

    fn is_present(&self) -> bool {
        false
    }
}

impl Compute for Absent {
    fn run(
        &self,
        work: Box<dyn FnOnce() -> Box<dyn Any + Send> + Send>,
    ) -> LocalFuture<'static, Option<Box<dyn Any + Send>>> {
        Box::pin(async move { Some(work()) })
    }
}

impl Metrics for Absent {
    fn add(&self, _: &'static str, _: &[(&'static str, &str)], _: u64) {}

    fn engine_snapshot(&self) -> Value {
        Value::Null
    }
}

impl Kv for Absent {
    fn command(&self, _: Vec<bytes::Bytes>) -> SendFuture<'_, Result<KvValue, KvError>> {
        Box::pin(async { Err(KvError::Unavailable("this node reaches no key-value server".into())) })
    }

    fn pipeline(&self, _: Vec<Vec<bytes::Bytes>>) -> SendFuture<'_, Result<Vec<KvValue>, KvError>> {
        Box::pin(async { Err(KvError::Unavailable("this node reaches no key-value server".into())) })
    }
}

impl Queue for Absent {
    fn push(&self, _: QueueEntry) {}
}

impl Queues for Absent {
    fn open(&self, _: &str, _: QueueSettings, _: Arc<dyn Deliver>) -> Arc<dyn Queue> {
        Arc::new(Absent)
    }
}
