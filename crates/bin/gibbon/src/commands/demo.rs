//! `gibbon demo`: a node in the foreground with backends of its own, so that the first start serves something.

use std::net::SocketAddr;

use anyhow::Context as _;
use gibbon_conf::{Input, listen::Address};
use gibbon_demo::{Demo, PROTO, Ports, declarative, instructions};

use crate::brand::Brand;
use crate::exit::Outcome;
use crate::machine::{self, ThisMachine};
use crate::output::Output;
use crate::{prefix, process};

/// Starts the backends and a node in front of them, in a folder of its own.
pub fn run(brand: Brand, out: &Output) -> Outcome {
    let folder = std::env::temp_dir().join(format!("gibbon-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Signals are blocked by `process::run` before its threads start; the backends' threads must not take them either.
    crate::signals::block()?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("backends")?;
    let demo = runtime.block_on(Demo::start(Ports::default())).context("backends")?;
    let config = folder.join("kong.yml");
    let proto = folder.join("echo.proto");
    let log = folder.join("chats.log").display().to_string();
    std::fs::write(&config, declarative(&demo.addresses(), &log)).with_context(|| config.display().to_string())?;
    std::fs::write(&proto, PROTO).with_context(|| proto.display().to_string())?;
    let arguments = [
        ("prefix", folder.join("prefix").display().to_string()),
        ("database", "off".into()),
        ("declarative_config", config.display().to_string()),
        ("proxy_listen", "127.0.0.1:8000 http2 reuseport, 127.0.0.1:8443 ssl http2 reuseport".into()),
        ("nginx_daemon", "off".into()),
    ];
    let arguments = arguments.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let loaded = gibbon_conf::load(&Input { arguments, ..Input::default() }, &ThisMachine).map_err(machine::refused)?;
    prefix::prepare(&loaded, out)?;
    let proxy = loaded.settings.listeners.proxy.iter().find_map(|l| match l.addr {
        Address::Tcp(address) if !l.ssl => Some(address),
        _ => None,
    });
    let proxy = proxy.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8000)));
    let text = instructions(proxy, &proto.display().to_string(), &log);
    let ended = process::run(loaded, brand, process::Origin::Foreground, move || {
        use std::io::Write as _;
        let _ = writeln!(
            std::io::stdout(),
            "Gibbon serves the demo. Try, in another terminal:\n\n{text}\nStop it with Ctrl-C."
        );
        Ok(())
    });
    drop(demo);
    let _ = std::fs::remove_dir_all(&folder);
    ended
}
