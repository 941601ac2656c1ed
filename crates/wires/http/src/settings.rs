//! The figures a listener is run with, named as nginx names them. Reading them from a file is left to
//! others.

use std::time::Duration;

/// Limits and timeouts of the server side.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Bytes in which an ordinary head must fit before larger buffers count (`client_header_buffer_size`).
    pub header_buffer: usize,
    /// How many large buffers a head may fill, and their size: no single line may be longer than one
    /// (`large_client_header_buffers`).
    pub large_header_buffers: (usize, usize),
    /// Most header lines of one head; answers header floods of tiny lines.
    pub max_headers: usize,
    /// Drop header fields whose name holds anything but letters, digits, `-` and `_`
    /// (`ignore_invalid_headers on; underscores_in_headers on`); refuse them when false.
    pub ignore_invalid_headers: bool,
    /// Keep the request line as it came ([`RequestHead::line`](gibbon_message::RequestHead::line)).
    pub keep_request_line: bool,
    /// Requests after which a connection is closed (`keepalive_requests`); 0 means one only.
    pub keepalive_requests: u64,
    /// How long a connection may idle between requests; zero closes after each answer.
    pub keepalive_timeout: Duration,
    /// Seconds told to HTTP/1 clients in a `Keep-Alive: timeout=` field; absent says nothing (the second value of nginx's
    /// `keepalive_timeout`).
    pub keepalive_header: Option<u64>,
    /// Age at which a connection is closed after its current request (`keepalive_time`).
    pub keepalive_time: Duration,
    /// How long a whole head may take (`client_header_timeout`).
    pub header_timeout: Duration,
    /// How long may pass between two reads of a request body (`client_body_timeout`).
    pub body_timeout: Duration,
    /// How long may pass between two writes of an answer (`send_timeout`).
    pub send_timeout: Duration,
    /// How much of an unread request body is read and thrown away to save the connection, and the
    /// longest time spent on it (`lingering_time`).
    pub drain_bytes: u64,
    pub drain_timeout: Duration,
    /// Whether a `Date` header is added to an answer that has none.
    pub date: bool,
    pub http2: H2Settings,
}

impl Default for ServerSettings {
    fn default() -> Self {
        ServerSettings {
            header_buffer: 1024,
            large_header_buffers: (4, 8 * 1024),
            max_headers: 1000,
            ignore_invalid_headers: true,
            keep_request_line: false,
            keepalive_requests: 1000,
            keepalive_timeout: Duration::from_secs(75),
            keepalive_header: None,
            keepalive_time: Duration::from_secs(3600),
            header_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(60),
            send_timeout: Duration::from_secs(60),
            drain_bytes: 1024 * 1024,
            drain_timeout: Duration::from_secs(5),
            date: false,
            http2: H2Settings::default(),
        }
    }
}

/// Limits of one HTTP/2 connection.
#[derive(Clone, Debug)]
pub struct H2Settings {
    /// Streams open at once (`http2_max_concurrent_streams`).
    pub concurrent_streams: u32,
    /// Bytes a peer may send on one stream before it is read.
    pub stream_window: u32,
    /// The same over all streams of the connection.
    pub connection_window: u32,
    /// Largest frame taken.
    pub max_frame_size: u32,
    /// Bytes of a decoded header list (HPACK bombs, CVE-2016-6581).
    pub max_header_list_size: u32,
    /// Bytes of answers buffered per stream.
    pub max_send_buffer: usize,
    /// What small data frames that wait to be read may cost in memory beyond their content, about 256 bytes
    /// each. A peer that goes further is cut off with all its streams, so a stream window of messages of a few
    /// bytes must fit: its reader may be slow.
    pub data_frame_budget: usize,
    /// Streams reset by the peer that may wait to be noticed (rapid reset, CVE-2023-44487).
    pub max_pending_resets: usize,
    /// Control frames (ping, settings, priority, empty data) a peer may send in a burst before the
    /// connection is closed with ENHANCE_YOUR_CALM; a hundredth of it comes back every tenth of a second.
    pub control_frame_budget: u32,
    /// The same for streams the peer resets.
    pub reset_budget: u32,
}

impl Default for H2Settings {
    fn default() -> Self {
        H2Settings {
            concurrent_streams: 128,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            max_frame_size: 16 * 1024,
            max_header_list_size: 32 * 1024,
            max_send_buffer: 256 * 1024,
            data_frame_budget: 8 * 1024 * 1024,
            max_pending_resets: 20,
            control_frame_budget: 1000,
            reset_budget: 1000,
        }
    }
}
