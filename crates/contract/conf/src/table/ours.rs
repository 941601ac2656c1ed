//! Settings of this gateway's own, and those Kong reads without documenting them.

use super::Default::{Derived, Is, Unset};
use super::Effect::Honoured;
use super::Kind::{Choice, Number, Text};

super::settings! { "GIBBON":
    compat_version: Choice(&["3.10", "3.15"]), Is("3.10"), Honoured, "Version of Kong whose defaults and version string are used.";
    sqlite_path: Text, Derived("<prefix>/gibbon.sqlite"), Honoured, "File of the embedded database.";
    connections_per_ip: Number, Is("0"), Honoured, "Client connections one address may hold at once; 0 is unlimited.";
    shutdown_grace: super::Kind::Time, Is("0"), Honoured, "How long a graceful stop waits for requests under way; 0 waits for all.";
    lua_time_limit: super::Kind::Time, Is("5s"), Honoured, "How long a piece of Lua may run without waiting before it is stopped; 0 is unlimited.";
    lua_memory_limit: super::Kind::Size, Is("512m"), Honoured, "Memory that the Lua of one worker may hold; 0 is unlimited.";
    ai_price_list: Text, Unset, Honoured, "JSON file of what models cost, for those whose configuration has no prices; crates/plugins/ai/prices.md says what it may hold.";
    error_log_format: Choice(&["text", "json"]), Is("text"), Honoured, "Form of the lines in the error logs.";
}

pub(super) mod undocumented {
    //! Names that appear in people's files although the current reference leaves them out.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::{NoEffect, Pending};
    use super::super::Kind::{Choice, Flag, List, Number, Text};
    use super::super::reason;
    const OUTSIDE_WORKERS: &str = "configuration is always processed outside the workers";
    super::super::settings! { "UNDOCUMENTED":
        wasm: Flag, Is("off"), Pending(reason::WASM), "Run proxy-wasm filters.";
        wasm_filters_path: Text, Unset, Pending(reason::WASM), "Directory of .wasm files.";
        wasm_filters: List, Is("bundled, user"), Pending(reason::WASM), "Filters offered: bundled, user, or names.";
        cluster_rpc: Flag, Is("off"), Pending(reason::HYBRID), "Speak the second version of the protocol between planes.";
        cluster_rpc_sync: Flag, Is("off"), Pending(reason::HYBRID), "Send differences over that protocol.";
        cluster_cjson: Flag, Is("off"), NoEffect("JSON is always encoded one way"), "Choose the JSON library for the link between planes.";
        kic: Flag, Is("off"), Pending("a node under an ingress controller behaves like any other"), "The node is configured by an ingress controller.";
        legacy_dns_client: Flag, Is("on"), NoEffect("new_dns_client decides which names are read"), "Use the older resolver.";
        worker_events_max_payload: Number, Is("65535"), NoEffect("workers share memory and send each other no messages"), "Largest message between workers.";
        privileged_worker: Flag, Is("off"), NoEffect(OUTSIDE_WORKERS), "Former name of dedicated_config_processing.";
        router_consistency: Choice(&["strict", "eventual"]), Unset, NoEffect("a change is in force on every worker from its next request"), "Former name of worker_consistency.";
        concurrency_timeout: Number, Is("60"), NoEffect("workers do not wait for each other"), "Seconds a worker waits for another.";
        allow_inconsistent_data_plane_plugins: Flag, Is("off"), NoEffect("data planes with other plugin sets are refused, as open-source Kong does"), "Accept data planes with other plugins.";
        legacy_worker_events: Flag, Is("off"), NoEffect("workers share memory and send each other no messages"), "Use the older messages between workers.";
        license_path: Text, Unset, NoEffect("there is no licence"), "File with a licence.";
        license_data: Text, Unset, NoEffect("there is no licence"), "A licence as text.";
    }
}
