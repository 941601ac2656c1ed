//! The real servers start, answer and end with the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use gibbon_testkit::{client, servers};

#[test]
fn nginx_serves_what_its_configuration_says() {
    let nginx = servers::nginx("server { listen LISTEN; location / { return 200 'hello from nginx'; } }").unwrap();
    assert_eq!(client::get(nginx.address(), "h", "/").unwrap().text(), "hello from nginx");
    let address = nginx.address();
    drop(nginx);
    assert!(TcpStream::connect(address).is_err(), "it ended with its handle");
}

#[test]
fn redis_answers() {
    let redis = servers::redis().unwrap();
    let mut socket = TcpStream::connect(redis.address()).unwrap();
    socket.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");
}

#[test]
fn postgres_has_the_database() {
    let postgres = servers::postgres().unwrap();
    let port = postgres.address().port().to_string();
    let output = Command::new(servers::tool("psql").unwrap())
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "gibbon", "-tAc", "select current_database()", "gibbon"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "gibbon", "{output:?}");
}

#[test]
fn a_missing_program_says_how_to_get_it() {
    let error = servers::tool("no-such-program").unwrap_err().to_string();
    assert_eq!(error, "no-such-program is not installed: run tests/install");
}
