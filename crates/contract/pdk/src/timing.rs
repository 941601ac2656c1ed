//! What a request was busy with, as a tree of names and times: the answer to `X-Kong-Request-Debug`. The engine records
//! one for the few exchanges that ask; times are those of the monotonic clock, handed in.

use serde_json::{Map, Value};

/// Nodes of one tree at most, so that a plugin that calls out in a loop cannot make it grow.
const MAX_NODES: usize = 512;
/// How deep nodes may lie.
const MAX_DEPTH: usize = 12;
/// Bytes of a node's name at most; names of hosts come from requests where a plugin lets them.
const MAX_NAME: usize = 256;

/// The tree of one exchange.
#[derive(Debug)]
pub struct Timing {
    /// The tree is wanted in the error log, too.
    pub log: bool,
    /// The client is this machine's own and may be shown a tree of any size.
    pub loopback: bool,
    nodes: Vec<Node>,
    /// The open nodes, outermost first.
    open: Vec<usize>,
    /// Open nodes that found no room.
    beyond: usize,
}

#[derive(Debug)]
struct Node {
    name: Box<str>,
    /// `None` hangs under the root.
    parent: Option<usize>,
    started_ns: u64,
    total_ns: u64,
    facts: Vec<(&'static str, Value)>,
}

impl Timing {
    #[must_use]
    pub fn new(log: bool, loopback: bool) -> Self {
        Timing { log, loopback, nodes: Vec::new(), open: Vec::new(), beyond: 0 }
    }

    /// Goes into a part of what is under way. One of that name that is there already goes on.
    pub fn enter(&mut self, name: &str, now_ns: u64) {
        let parent = self.open.last().copied();
        let known = self.nodes.iter().position(|node| node.parent == parent && *node.name == *name);
        if self.beyond > 0 || self.open.len() >= MAX_DEPTH || (known.is_none() && self.nodes.len() >= MAX_NODES) {
            self.beyond += 1;
            return;
        }
        let number = known.unwrap_or(self.nodes.len());
        if known.is_none() {
            let name = name.get(..name.floor_char_boundary(MAX_NAME)).unwrap_or_default().into();
            self.nodes.push(Node { name, parent, started_ns: now_ns, total_ns: 0, facts: Vec::new() });
        }
        if let Some(node) = self.nodes.get_mut(number) {
            node.started_ns = now_ns;
        }
        self.open.push(number);
    }

    /// Leaves what was entered last.
    pub fn leave(&mut self, now_ns: u64) {
        if self.beyond > 0 {
            self.beyond -= 1;
        } else if let Some(node) = self.open.pop().and_then(|number| self.nodes.get_mut(number)) {
            node.total_ns += now_ns.saturating_sub(node.started_ns);
        }
    }

    /// Says something about what was entered last.
    pub fn note(&mut self, key: &'static str, value: Value) {
        if self.beyond == 0
            && let Some(node) = self.open.last().and_then(|number| self.nodes.get_mut(*number))
        {
            node.facts.retain(|(known, _)| *known != key);
            node.facts.push((key, value));
        }
    }

    /// Adds a part that is over, under the one that is open.
    pub fn add(&mut self, path: &[&str], start_ns: u64, end_ns: u64) {
        for name in path {
            self.enter(name, start_ns);
        }
        for _ in path {
            self.leave(end_ns);
        }
    }

    /// The parts as JSON: `total_time` in milliseconds and `child` by name. What is open counts up to now.
    #[must_use]
    pub fn tree(&self, now_ns: u64) -> Map<String, Value> {
        self.children(None, now_ns)
    }

    fn children(&self, parent: Option<usize>, now_ns: u64) -> Map<String, Value> {
        let of_parent = self.nodes.iter().enumerate().filter(|(_, node)| node.parent == parent);
        of_parent
            .map(|(number, node)| {
                let running = if self.open.contains(&number) { now_ns.saturating_sub(node.started_ns) } else { 0 };
                let mut shown = Map::new();
                shown.insert("total_time".into(), Value::from((node.total_ns + running) as f64 / 1e6));
                for (key, value) in &node.facts {
                    shown.insert((*key).into(), value.clone());
                }
                let below = self.children(Some(number), now_ns);
                if !below.is_empty() {
                    shown.insert("child".into(), below.into());
                }
                (node.name.to_string(), shown.into())
            })
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_lie_within_parts_and_add_up() {
        let mut timing = Timing::new(false, true);
        timing.enter("access", 0);
        timing.add(&["dns", "h.test", "resolve"], 1_000_000, 2_500_000);
        timing.leave(3_000_000);
        timing.enter("access", 5_000_000);
        timing.enter("router", 5_000_000);
        timing.note("hit", true.into());
        timing.leave(5_250_000);
        timing.leave(6_000_000);
        let dns = json!({"total_time": 1.5, "child": {"h.test": {"total_time": 1.5, "child": {"resolve": {"total_time": 1.5}}}}});
        let router = json!({"total_time": 0.25, "hit": true});
        let access = json!({"total_time": 4.0, "child": {"dns": dns, "router": router}});
        assert_eq!(Value::from(timing.tree(9)), json!({"access": access}));
    }

    #[test]
    fn what_is_still_open_counts_up_to_now() {
        let mut timing = Timing::new(false, true);
        timing.enter("log", 1_000_000);
        assert_eq!(timing.tree(2_000_000)["log"]["total_time"], 1.0);
    }

    #[test]
    fn size_and_depth_are_bounded_and_leaving_still_fits() {
        let mut timing = Timing::new(false, true);
        for number in 0..4 * MAX_NODES {
            timing.enter(&number.to_string(), 0);
        }
        for _ in 0..4 * MAX_NODES {
            timing.leave(1);
        }
        for number in 0..4 * MAX_NODES {
            timing.add(&[&number.to_string()], 0, 1);
        }
        assert_eq!((timing.nodes.len(), timing.open.len(), timing.beyond), (MAX_NODES, 0, 0));
        timing.leave(2);
        let mut timing = Timing::new(false, true);
        timing.add(&["\u{e9}".repeat(MAX_NAME).as_str()], 0, 1);
        assert_eq!(timing.nodes[0].name.len(), MAX_NAME);
    }
}
