//! A cluster: the map from slots to nodes, learnt from any node and corrected by redirections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::Error;
use crate::link::{Link, Way};
use crate::slot::{SLOTS, of_command};

/// Redirections followed for one command: a cluster that moves slots answers after one or two.
const REDIRECTIONS: usize = 5;

type Node = (String, u16);

pub struct Cluster {
    way: Way,
    /// Nodes to begin with.
    seeds: Vec<Node>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: HashMap<Node, Arc<Link>>,
    /// First and last slot, and the master that has them.
    ranges: Vec<(u16, u16, Node)>,
}

impl Cluster {
    pub fn new(seeds: Vec<Node>, way: Way) -> Self {
        // A cluster has database 0 only.
        let way = Way { database: 0, ..way };
        Cluster { way, seeds, state: Mutex::default() }
    }

    /// Sends a command to the node that has its key.
    pub async fn command(&self, arguments: &[Bytes]) -> Result<redis::Value, Error> {
        let slot = of_command(arguments);
        let mut link = self.link_of(slot).await?;
        let mut asking = false;
        for _ in 0..REDIRECTIONS {
            let answer = if asking {
                let ask = [Bytes::from_static(b"ASKING")];
                let mut answers = link.pipeline(&[&ask, arguments]).await?;
                match answers.pop() {
                    Some(redis::Value::ServerError(error)) => Err(error.into()),
                    answer => Ok(answer.unwrap_or_default()),
                }
            } else {
                link.command(arguments).await
            };
            match answer {
                Err(Error::Elsewhere { host, port, once }) => {
                    if !once {
                        self.moved(slot, (host.clone(), port));
                    }
                    (asking, link) = (once, self.link((host, port)));
                }
                Err(error) => {
                    if error.is_about_roles() {
                        self.state().ranges.clear();
                    }
                    return Err(error);
                }
                answer => return answer,
            }
        }
        Err(Error::Unavailable("the cluster redirects in circles".to_owned()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self, node: Node) -> Arc<Link> {
        let mut state = self.state();
        let way = &self.way;
        let made =
            state.links.entry(node).or_insert_with_key(|(host, port)| Arc::new(Link::new(host, *port, way.clone())));
        Arc::clone(made)
    }

    fn moved(&self, slot: Option<u16>, to: Node) {
        if let Some(slot) = slot {
            let mut state = self.state();
            // Until the whole map is asked for again, the exception goes first.
            if state.ranges.len() < usize::from(SLOTS) {
                state.ranges.insert(0, (slot, slot, to));
            } else {
                state.ranges.clear();
            }
        }
    }

    async fn link_of(&self, slot: Option<u16>) -> Result<Arc<Link>, Error> {
        if let Some(node) = self.node_of(slot) {
            return Ok(self.link(node));
        }
        self.learn().await?;
        match self.node_of(slot) {
            Some(node) => Ok(self.link(node)),
            None => Err(Error::Unavailable("no node of the cluster has the key's slot".to_owned())),
        }
    }

    fn node_of(&self, slot: Option<u16>) -> Option<Node> {
        let state = self.state();
        let range = match slot {
            Some(slot) => state.ranges.iter().find(|(first, last, _)| (*first..=*last).contains(&slot)),
            None => state.ranges.first(),
        };
        range.map(|(_, _, node)| node.clone())
    }

    async fn learn(&self) -> Result<(), Error> {
        let question = ["CLUSTER", "SLOTS"].map(|part| Bytes::from_static(part.as_bytes()));
        let mut last = Error::Unavailable("no node of the cluster is configured".to_owned());
        let known: Vec<Node> = self.state().links.keys().cloned().collect();
        for node in self.seeds.iter().chain(&known) {
            match self.link(node.clone()).command(&question).await {
                Ok(answer) => {
                    let ranges = ranges(&answer, &node.0);
                    let mut state = self.state();
                    // Nodes that left are forgotten with their connections.
                    state.links.retain(|node, _| ranges.iter().any(|(_, _, n)| n == node) || self.seeds.contains(node));
                    state.ranges = ranges;
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// The map in an answer to CLUSTER SLOTS; a node that does not know its own address is the one asked.
fn ranges(answer: &redis::Value, asked: &str) -> Vec<(u16, u16, Node)> {
    let redis::Value::Array(rows) = answer else { return Vec::new() };
    let row = |row: &redis::Value| -> Option<(u16, u16, Node)> {
        let redis::Value::Array(columns) = row else { return None };
        let number = |at: usize| columns.get(at).and_then(|v| redis::from_redis_value::<u16>(v.clone()).ok());
        let redis::Value::Array(master) = columns.get(2)? else { return None };
        let host: String = redis::from_redis_value(master.first()?.clone()).unwrap_or_default();
        let port: u16 = redis::from_redis_value(master.get(1)?.clone()).ok()?;
        let host = if host.is_empty() { asked.to_owned() } else { host };
        Some((number(0)?, number(1)?, (host, port)))
    };
    rows.iter().filter_map(row).collect()
}
