//! Targets whose input is a stream that an upstream sends: however it is split, the same is found in it, and nothing of it
//! is longer than allowed.

use gibbon_frames::{FrameError, aws, grpc, json_array, lines, sse};

const LIMIT: usize = 64;

/// What was found, and whether the stream was refused.
type Found = (Vec<Vec<u8>>, bool);

/// Asks for what is found when the bytes come in pieces of a size.
fn however_split(length: usize, found: impl Fn(usize) -> Found) {
    let whole = found(length.max(1));
    assert!(whole.0.iter().all(|part| part.len() <= 4 * LIMIT), "longer than allowed");
    assert_eq!(whole, found(1), "byte by byte");
    assert_eq!(whole, found(7), "seven bytes at a time");
}

/// Feeds all pieces until one is refused, then the end.
fn feed<S>(
    bytes: &[u8],
    size: usize,
    mut splitter: S,
    push: impl Fn(&mut S, &[u8], &mut Vec<Vec<u8>>) -> Result<(), FrameError>,
    finish: impl Fn(&mut S, &mut Vec<Vec<u8>>) -> Result<(), FrameError>,
) -> Found {
    let mut found = Vec::new();
    for piece in bytes.chunks(size) {
        if push(&mut splitter, piece, &mut found).is_err() {
            assert!(finish(&mut splitter, &mut found).is_err(), "a refused stream ends well");
            return (found, true);
        }
    }
    let ended = finish(&mut splitter, &mut found);
    (found, ended.is_err())
}

pub fn grpc_messages(bytes: &[u8]) {
    however_split(bytes.len(), |size| {
        let mut frames = grpc::Frames::new(LIMIT);
        let mut found = Vec::new();
        for piece in bytes.chunks(size) {
            frames.add(piece);
            loop {
                match frames.next_message() {
                    Ok(Some(message)) => found.push(message.to_vec()),
                    Ok(None) => break,
                    Err(_) => return (found, true),
                }
            }
        }
        (found, false)
    });
}

pub fn sse(bytes: &[u8]) {
    let shown = |event: sse::Event<'_>, found: &mut Vec<Vec<u8>>| {
        let text = |bytes: &[u8]| bytes.to_vec();
        found.extend([text(event.name), text(event.data), text(event.id.unwrap_or_default())]);
        found.push(event.retry.map(|retry| retry.to_string()).unwrap_or_default().into_bytes());
    };
    however_split(bytes.len(), |size| {
        feed(
            bytes,
            size,
            sse::Splitter::new(LIMIT),
            |splitter, piece, found| splitter.push(piece, |event| shown(event, found)),
            |splitter, found| splitter.finish(|event| shown(event, found)),
        )
    });
}

pub fn aws_events(bytes: &[u8]) {
    however_split(bytes.len(), |size| {
        feed(
            bytes,
            size,
            aws::Splitter::new(2 * LIMIT),
            |splitter, piece, found| {
                splitter.push(piece, |message| {
                    message.headers().for_each(drop);
                    found.push(message.text(":event-type").unwrap_or_default().as_bytes().to_vec());
                    found.push(message.payload.to_vec());
                })
            },
            |splitter, _| splitter.finish(),
        )
    });
}

/// The same bytes as an array and as lines: providers send both.
pub fn json_stream(bytes: &[u8]) {
    however_split(bytes.len(), |size| {
        feed(
            bytes,
            size,
            json_array::Splitter::new(LIMIT),
            |splitter, piece, found| splitter.push(piece, |element| found.push(element.to_vec())),
            |splitter, _| splitter.finish(),
        )
    });
    however_split(bytes.len(), |size| {
        feed(
            bytes,
            size,
            lines::Splitter::new(LIMIT),
            |splitter, piece, found| splitter.push(piece, |line| found.push(line.to_vec())),
            |splitter, found| splitter.finish(|line| found.push(line.to_vec())),
        )
    });
}
