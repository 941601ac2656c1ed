//! Finds the frames in a stream of bytes on their way to the `h2` crate, and cuts out those that the caller
//! does not let pass. What the frames mean is left to others.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::meter::kind;

/// Bytes of a frame header (RFC 9113 4.1).
const HEADER: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bytes of the payload.
    pub length: usize,
    pub kind: u8,
    flags: u8,
    stream: u32,
}

impl Frame {
    #[cfg(test)]
    pub(super) fn new(length: usize, kind: u8, flags: u8) -> Self {
        Frame { length, kind, flags, stream: 1 }
    }

    fn of([a, b, c, kind, flags, stream @ ..]: [u8; HEADER]) -> Self {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Frame { length, kind, flags, stream: u32::from_be_bytes(stream) & (u32::MAX >> 1) }
    }

    /// Data of a stream that holds nothing and ends nothing.
    pub(super) fn is_empty_data(self) -> bool {
        const END_STREAM: u8 = 1;
        self.kind == kind::DATA && self.length == 0 && self.flags & END_STREAM == 0 && self.stream != 0
    }
}

/// Where a reader is in a stream of frames.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes to pass on before the next header.
    skip: usize,
    /// A header whose bytes came in more than one read, kept back until it is whole.
    header: [u8; HEADER],
    have: usize,
    /// Bytes of `header` that are to be passed on now.
    owed: std::ops::Range<usize>,
}

impl Frames {
    /// Frames that begin behind so many other bytes.
    pub(super) fn behind(skip: usize) -> Self {
        Frames { skip, ..Frames::default() }
    }

    /// Reads as `stream` does, without the frames for which `pass` says no; those must have no payload.
    pub(super) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        mut pass: impl FnMut(Frame) -> bool,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.owed.is_empty() {
                self.pay(buf);
                return Poll::Ready(Ok(()));
            }
            if self.have > 0 {
                ready!(self.poll_header(stream, cx, &mut pass))?;
                continue;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(cx, buf))?;
            let read = buf.filled_mut().get_mut(before..).unwrap_or_default();
            if read.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = self.sift(read, &mut pass);
            buf.set_filled(before + kept);
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn pay(&mut self, buf: &mut ReadBuf<'_>) {
        let part = self.owed.start..self.owed.end.min(self.owed.start + buf.remaining());
        buf.put_slice(self.header.get(part.clone()).unwrap_or_default());
        self.owed.start = part.end;
    }

    /// Reads on a header that was begun, and no further.
    fn poll_header<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        pass: &mut impl FnMut(Frame) -> bool,
    ) -> Poll<io::Result<()>> {
        let mut rest = ReadBuf::new(self.header.get_mut(self.have..).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut rest))?;
        let read = rest.filled().len();
        self.have += read;
        if read == 0 {
            // The stream ends inside a header: the `h2` crate says what that means.
            self.owed = 0..std::mem::take(&mut self.have);
        } else if self.have == HEADER {
            self.have = 0;
            let frame = Frame::of(self.header);
            if pass(frame) {
                self.skip = frame.length;
                self.owed = 0..HEADER;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Moves what passes to the front of `bytes` and says how much that is; keeps the beginning of a header back.
    fn sift(&mut self, bytes: &mut [u8], pass: &mut impl FnMut(Frame) -> bool) -> usize {
        let (mut from, mut kept) = (0, 0);
        while from < bytes.len() {
            let mut part = self.skip.min(bytes.len() - from);
            if part == 0 {
                let Some(header) = bytes.get(from..).and_then(|rest| rest.first_chunk::<HEADER>()) else {
                    let begun = bytes.get(from..).unwrap_or_default();
                    self.have = begun.len();
                    self.header.iter_mut().zip(begun).for_each(|(to, from)| *to = *from);
                    break;
                };
                let frame = Frame::of(*header);
                if !pass(frame) {
                    from += HEADER;
                    continue;
                }
                self.skip = frame.length + HEADER;
                part = self.skip.min(bytes.len() - from);
            }
            if from != kept {
                bytes.copy_within(from..from + part, kept);
            }
            (from, kept) = (from + part, kept + part);
            self.skip -= part;
        }
        kept
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut bytes = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        bytes.resize(9 + payload, 0xff);
        bytes
    }

    /// Hands out at most so many bytes per read.
    struct Cut<'a>(&'a [u8], usize);

    impl AsyncRead for Cut<'_> {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let (now, later) = self.0.split_at(self.1.min(self.0.len()).min(buf.remaining()));
            buf.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    struct Sifted<'a>(Cut<'a>, Frames, Vec<(u8, usize)>);

    impl AsyncRead for Sifted<'_> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            let Sifted(stream, frames, found) = &mut *self;
            frames.poll_read(stream, cx, buf, |frame| {
                found.push((frame.kind, frame.length));
                !frame.is_empty_data()
            })
        }
    }

    #[tokio::test]
    async fn empty_data_is_cut_out_and_all_else_passes_however_the_bytes_come() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let (empty, end) = (frame(0, 0, 0), frame(0, 1, 0));
        let (settings, data, ping) = (frame(4, 0, 6), frame(0, 0, 300), frame(6, 0, 8));
        let rest = b"\0\0\x08".to_vec();
        let all = [&preface, &empty, &settings, &empty, &empty, &data, &ping, &empty, &end, &empty, &rest];
        let expected = [&preface, &settings, &data, &ping, &end, &rest].map(|part| part.as_slice()).concat();
        let bytes = all.map(|part| part.as_slice()).concat();
        for step in [1, 2, 7, 9, 10, 31, 1000] {
            for room in [1, 8, 9, 20, 4096] {
                let mut sifted = Sifted(Cut(&bytes, step), Frames::behind(preface.len()), Vec::new());
                let mut got = Vec::new();
                let mut buffer = vec![0; room];
                loop {
                    let read = sifted.read(&mut buffer).await.unwrap();
                    if read == 0 {
                        break;
                    }
                    got.extend_from_slice(&buffer[..read]);
                }
                assert_eq!(got, expected, "{step} bytes a read, room for {room}");
                let frames = [(0, 0), (4, 6), (0, 0), (0, 0), (0, 300), (6, 8), (0, 0), (0, 0), (0, 0)];
                assert_eq!(sifted.2, frames, "{step} {room}");
            }
        }
    }

    #[test]
    fn data_of_no_stream_is_left_to_the_protocol() {
        let mut bytes = frame(0, 0, 0);
        bytes[8] = 0;
        assert!(!Frame::of(*bytes.first_chunk().unwrap()).is_empty_data());
    }
}
