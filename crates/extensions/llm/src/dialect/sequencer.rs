//! Puts the parts of a stream in line, for dialects whose content blocks must not overlap
//! (Anthropic, Bedrock, OpenAI responses).
//!
//! The part that began first is passed on as it grows; what others say meanwhile is held back until
//! it ends. Parts are renumbered in the order in which they leave.

use crate::canonical::{Delta, Event, Failure, PartOpen};
use gibbon_frames::DEFAULT_LIMIT;
use std::collections::VecDeque;

/// A part that waits for its turn.
#[derive(Debug)]
struct Waiting {
    part: u32,
    open: PartOpen,
    deltas: Vec<Delta>,
    ended: bool,
}

/// Reorders events so that parts do not overlap. Only the first alternative is passed on.
#[derive(Debug, Default)]
pub(super) struct Sequencer {
    /// The part passed on now, by the decoder's number.
    open: Option<u32>,
    /// Its number on the way out, or that of the next part.
    number: u32,
    waiting: VecDeque<Waiting>,
    held: usize,
}

impl Sequencer {
    /// Takes an event and calls `write` with those that may leave now.
    pub(super) fn push(&mut self, event: &Event, write: &mut dyn FnMut(&Event)) {
        match event {
            Event::PartStart { choice: 0, part, open } => self.start(*part, open, write),
            Event::Delta { choice: 0, part, delta } => self.delta(*part, delta, write),
            Event::PartEnd { choice: 0, part } => self.end(*part, write),
            Event::Finish { choice: 0, .. } => {
                self.flush(write);
                write(event);
            }
            Event::Usage(_) | Event::Start { .. } => write(event),
            Event::Failure(_) | Event::End => {
                self.flush(write);
                write(event);
            }
            _ => {}
        }
    }

    fn start(&mut self, part: u32, open: &PartOpen, write: &mut dyn FnMut(&Event)) {
        if self.open.is_none() {
            self.open = Some(part);
            write(&Event::PartStart { choice: 0, part: self.number, open: open.clone() });
        } else {
            self.waiting.push_back(Waiting { part, open: open.clone(), deltas: Vec::new(), ended: false });
        }
    }

    fn delta(&mut self, part: u32, delta: &Delta, write: &mut dyn FnMut(&Event)) {
        if self.open == Some(part) {
            write(&Event::Delta { choice: 0, part: self.number, delta: delta.clone() });
        } else if let Some(w) = self.waiting.iter_mut().find(|w| w.part == part) {
            let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = delta;
            self.held += t.len();
            if self.held > DEFAULT_LIMIT {
                // A peer that opens one part and fills another must not fill our memory.
                self.waiting.clear();
                write(&Event::Failure(Failure::new(502, "the provider's stream holds back too much")));
                return;
            }
            w.deltas.push(delta.clone());
        }
    }

    fn end(&mut self, part: u32, write: &mut dyn FnMut(&Event)) {
        if self.open != Some(part) {
            if let Some(w) = self.waiting.iter_mut().find(|w| w.part == part) {
                w.ended = true;
            }
            return;
        }
        self.close(write);
        while self.open.is_none() {
            let Some(next) = self.waiting.pop_front() else { break };
            self.open = Some(next.part);
            write(&Event::PartStart { choice: 0, part: self.number, open: next.open });
            for delta in next.deltas {
                let (Delta::Text(t) | Delta::Arguments(t) | Delta::Signature(t)) = &delta;
                self.held = self.held.saturating_sub(t.len());
                write(&Event::Delta { choice: 0, part: self.number, delta });
            }
            if next.ended {
                self.close(write);
            }
        }
    }

    fn close(&mut self, write: &mut dyn FnMut(&Event)) {
        if self.open.take().is_some() {
            write(&Event::PartEnd { choice: 0, part: self.number });
            self.number += 1;
        }
    }

    /// Ends every part that is still open.
    fn flush(&mut self, write: &mut dyn FnMut(&Event)) {
        for w in &mut self.waiting {
            w.ended = true;
        }
        if let Some(part) = self.open {
            self.end(part, write);
        }
    }
}
