//! Name resolution, tuning, Lua and debugging.

pub(super) mod dns {
    //! The resolver's settings under their older names.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::Honoured;
    use super::super::Kind::{Flag, List, Number, Text};
    super::super::settings! { "DNS RESOLVER":
        dns_resolver: List, Unset, Honoured, "Name servers, ip or ip:port; unset reads resolv.conf.";
        dns_hostsfile: Text, Is("/etc/hosts"), Honoured, "Hosts file, read at start.";
        dns_order: List, Is("LAST, SRV, A, CNAME"), Honoured, "Record types in the order they are tried; LAST is the type that answered before.";
        dns_valid_ttl: Number, Unset, Honoured, "Seconds a record is kept, instead of its own time to live.";
        dns_stale_ttl: Number, Is("3600"), Honoured, "Seconds an expired record may still be used while it is refreshed.";
        dns_cache_size: Number, Is("10000"), Honoured, "Records kept.";
        dns_not_found_ttl: Number, Is("30"), Honoured, "Seconds an empty or not-found answer is kept.";
        dns_error_ttl: Number, Is("1"), Honoured, "Seconds a failure is kept.";
        dns_no_sync: Flag, Is("off"), Honoured, "Let every request ask for itself instead of sharing one question.";
    }
}

pub(super) mod new_dns {
    //! The resolver's settings under their newer names.
    use super::super::Default::{Derived, Is};
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Flag, List, Number, Size, Text};
    super::super::settings! { "New DNS RESOLVER":
        new_dns_client: Flag, Is("off"), Honoured, "Read the resolver_ settings instead of the dns_ ones.";
        resolver_address: List, Derived("<name servers parsed from resolv.conf>"), Honoured, "Name servers, ip or ip:port.";
        resolver_hosts_file: Text, Is("/etc/hosts"), Honoured, "Hosts file, read at start.";
        resolver_family: List, Is("A, SRV"), Honoured, "Record types asked for: A, AAAA, SRV.";
        resolver_valid_ttl: Number, Derived("<TTL from responses>"), Honoured, "Seconds a record is kept, instead of its own time to live.";
        resolver_error_ttl: Number, Is("1"), Honoured, "Seconds an empty answer or failure is kept.";
        resolver_stale_ttl: Number, Is("3600"), Honoured, "Seconds an expired record may still be used.";
        resolver_lru_cache_size: Number, Is("10000"), Honoured, "Records kept.";
        resolver_mem_cache_size: Size, Is("5m"), NoEffect("the node has one cache, bounded by resolver_lru_cache_size"), "Memory for records shared by the workers.";
    }
}

pub(super) mod ai {
    //! Model traffic.
    use super::super::Default::Is;
    use super::super::Effect::NoEffect;
    use super::super::Kind::Flag;
    super::super::settings! { "AI":
        ai_mcp_listener_enabled: Flag, Is("on"), NoEffect("MCP is served on the proxy listeners by its plugin"), "Open the internal listener for MCP.";
    }
}

pub(super) mod tuning {
    //! Routing, freshness and limits of what Lua sees.
    use super::super::Default::Is;
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Choice, Flag, Number, Text};
    super::super::settings! { "TUNING & BEHAVIOR":
        worker_consistency: Choice(&["strict", "eventual"]), Is("eventual"), NoEffect("a change is in force on every worker from its next request"), "Whether workers wait for a change before answering.";
        worker_state_update_frequency: Number, Is("5"), NoEffect("a change is in force on every worker from its next request"), "Seconds between rebuilds of a worker's router.";
        router_flavor: Choice(&["traditional", "traditional_compatible", "expressions"]), Is("traditional_compatible"), Honoured, "How routes are written and ordered.";
        route_match_calculation: Text, Is("original"), NoEffect("routes are ordered as open-source Kong orders them"), "How priority between routes is worked out.";
        lua_max_req_headers: Number, Is("100"), Honoured, "Request headers looked at, from 1 to 1000.";
        lua_max_resp_headers: Number, Is("100"), Honoured, "Response headers looked at, from 1 to 1000.";
        lua_max_uri_args: Number, Is("100"), Honoured, "Query arguments looked at, from 1 to 1000.";
        lua_max_post_args: Number, Is("100"), Honoured, "Form arguments looked at, from 1 to 1000.";
        lua_gc_tuning: Flag, Is("off"), NoEffect("Lua runs in plugins only, so its collector needs no tuning"), "Tune Lua's garbage collector.";
        vaults_lazy_load_secrets: Flag, Is("off"), NoEffect("references in entities are always resolved when first used"), "Resolve secrets when first used.";
        pdk_response_exit_header_filter_early_exit: Flag, Is("off"), NoEffect("an answer given in header_filter ends that phase as in 3.10"), "End header_filter at kong.response.exit.";
        via_header_comply_rfc: Flag, Is("off"), NoEffect("the Via header always names the protocol version as RFC 9110 says"), "Write the Via header as RFC 9110 says.";
    }
}

pub(super) mod miscellaneous {
    //! Lua and what belongs nowhere else.
    use super::super::Default::{Is, Unset};
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Choice, Flag, List, Number, Text};
    super::super::settings! { "MISCELLANEOUS":
        lua_ssl_trusted_certificate: List, Is("system"), Honoured, "Authorities trusted for outgoing TLS: paths, PEM, base64, or system.";
        lua_ssl_verify_depth: Number, Is("1"), Honoured, "Intermediate certificates allowed in a chain.";
        lua_ssl_protocols: Text, Is("TLSv1.2 TLSv1.3"), Honoured, "TLS versions of the gateway's own outgoing connections.";
        lua_package_path: Text, Is("./?.lua;./?/init.lua;"), Honoured, "Where Lua plugins are looked for.";
        lua_package_cpath: Text, Unset, Honoured, "Where Lua modules written in C are looked for.";
        lua_socket_pool_size: Number, Is("256"), Honoured, "Connections kept by Lua sockets per pool.";
        enforce_rbac: Choice(&["off", "on", "entity", "both"]), Is("off"), Honoured, "Demand a user's token of the Admin API, and permission for the path (on), for each entity (entity), or for both.";
        rbac_auth_header: Text, Is("Kong-Admin-Token"), Honoured, "Header with the user's token.";
        event_hooks_enabled: Flag, Is("on"), Honoured, "Run event hooks.";
        fips: Flag, Is("off"), NoEffect("the cryptographic module is not a validated one; ssl_cipher_suite = fips restricts ciphers"), "Use a validated cryptographic module.";
    }
}

pub(super) mod debugging {
    //! Timing of single requests on demand.
    use super::super::Default::{Derived, Is, Unset};
    use super::super::Effect::{Honoured, NoEffect};
    use super::super::Kind::{Flag, Text};
    super::super::settings! { "REQUEST DEBUGGING":
        request_debug: Flag, Is("on"), Honoured, "Answer X-Kong-Request-Debug with the timing of the request.";
        request_debug_token: Text, Derived("<random>"), Honoured, "Token that remote callers must show; a random one is made if unset.";
        identity_service: Text, Unset, NoEffect("there is no external identity service"), "Identity service to ask.";
    }
}
