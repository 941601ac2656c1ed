//! From the node's settings to what the request path and the wires compute with.

use std::sync::Arc;

use gibbon_conf::{ClientLimits, Material, NameResolution, RecordType, Settings, UntrustedLua};
use gibbon_dns::{OrderStep, RecordKind, Resolver};
use gibbon_http::ServerSettings;
use gibbon_lua::{LuaSettings, Untrusted};
use gibbon_plan::Place;
use gibbon_proxy::error_body::{Form, Templates};
use gibbon_proxy::{
    ProxySettings, RealIp, RealIpSource, RequestHeaderRules, ResponseHeaderRules, Secret, UpstreamSettings,
};
use gibbon_tls::TrustStore;

/// As in Server and Via.
pub const SERVER_TOKEN: &str = concat!("gibbon/", env!("CARGO_PKG_VERSION"));

/// Text of a certificate, key or template.
///
/// # Errors
/// A file that cannot be read, named.
pub fn text_of(material: &Material) -> anyhow::Result<String> {
    match material {
        Material::Pem(text) => Ok(text.clone()),
        Material::Path(path) => {
            std::fs::read_to_string(path).map_err(|e| anyhow::anyhow!("cannot read '{}': {e}", path.display()))
        }
    }
}

/// Settings of the request path.
///
/// # Errors
/// A file that a setting names and that cannot be read.
pub fn proxy(settings: &Settings, request_debug: Option<Secret>) -> anyhow::Result<Arc<ProxySettings>> {
    let client = &settings.client;
    Ok(Arc::new(ProxySettings {
        workspace: Place::without_route().workspace,
        server_token: SERVER_TOKEN.to_owned(),
        request_headers: RequestHeaderRules::new(SERVER_TOKEN.to_owned(), settings.request_id_upstream),
        response_headers: response_headers(settings),
        real_ip: real_ip(settings),
        templates: templates(settings)?,
        error_default: Form::of_media_type(&settings.error_pages.default_type).unwrap_or(Form::Plain),
        charset: settings.charset.clone(),
        port_maps: settings.port_maps.iter().collect(),
        max_body: client.max_body_size.unwrap_or(0),
        body_buffer: client.body_buffer_size as usize,
        body_dir: settings.prefix.join("client_body_temp"),
        max_buffered_response: 256 << 20,
        stream_proxy_protocol: settings.injected.every("sproxy", "proxy_protocol").any(|d| d.value == "on"),
        debug_header: settings.allow_debug_header,
        request_debug,
        upstream: upstream(settings)?,
    }))
}

fn response_headers(settings: &Settings) -> ResponseHeaderRules {
    let on = settings.headers;
    ResponseHeaderRules {
        server: on.server,
        via: on.via,
        proxy_latency: on.proxy_latency,
        response_latency: on.response_latency,
        upstream_latency: on.upstream_latency,
        upstream_status: on.upstream_status,
        request_id: on.request_id,
    }
}

fn real_ip(settings: &Settings) -> RealIp {
    use gibbon_conf::RealIpSource as From;
    let rules = &settings.real_ip;
    RealIp {
        trusted: rules.trusted.blocks.clone(),
        naming: rules.naming.blocks.clone(),
        trust_unix: rules.trusted.unix,
        source: match &rules.source {
            From::ProxyProtocol => RealIpSource::ProxyProtocol,
            From::Header(name) if name == "x-forwarded-for" => RealIpSource::ForwardedFor,
            From::Header(name) => RealIpSource::Header(name.clone()),
        },
        recursive: rules.recursive,
    }
}

fn templates(settings: &Settings) -> anyhow::Result<Templates> {
    let mut templates = Templates::default();
    let pages = &settings.error_pages;
    let places = [
        (&pages.json, &mut templates.json),
        (&pages.plain, &mut templates.plain),
        (&pages.html, &mut templates.html),
        (&pages.xml, &mut templates.xml),
    ];
    for (file, place) in places {
        if let Some(path) = file {
            let text = std::fs::read_to_string(path);
            *place = text.map_err(|e| anyhow::anyhow!("cannot read '{}': {e}", path.display()))?.into();
        }
    }
    Ok(templates)
}

fn upstream(settings: &Settings) -> anyhow::Result<UpstreamSettings> {
    let keepalive = &settings.upstream_keepalive;
    let client_certificate = match &settings.tls.upstream_client {
        Some(pair) => Some((text_of(&pair.cert)?, text_of(&pair.key)?)),
        None => None,
    };
    let trusted: Vec<String> = settings.tls.trusted.iter().map(text_of).collect::<Result<_, _>>()?;
    Ok(UpstreamSettings {
        pool_size: keepalive.pool_size,
        pool_requests: keepalive.max_requests.unwrap_or(0),
        pool_idle: keepalive.idle_timeout.unwrap_or_default(),
        max_head: (settings.proxy_buffer_size as usize).max(4096) * 16,
        trusted_authorities: (!trusted.is_empty()).then(|| trusted.join("\n")),
        tls_verify: false,
        tls_verify_depth: settings.tls.verify_depth.min(255) as u8,
        client_certificate,
    })
}

/// Settings of the Lua host, for these plugins.
#[must_use]
pub fn lua(settings: &Settings, plugins: Vec<String>, configuration: serde_json::Value) -> LuaSettings {
    let lua = &settings.lua;
    LuaSettings {
        plugins,
        package_path: lua.package_path.clone(),
        package_cpath: lua.package_cpath.clone(),
        untrusted: match lua.untrusted {
            UntrustedLua::On => Untrusted::On,
            UntrustedLua::Off => Untrusted::Off,
            UntrustedLua::Sandbox | UntrustedLua::Strict => Untrusted::Sandbox,
        },
        sandbox_requires: lua.sandbox_requires.clone(),
        sandbox_environment: lua.sandbox_environment.clone(),
        configuration,
        shared_dicts: lua.shared_dicts.iter().map(|dict| (dict.name.clone(), dict.size)).collect(),
        regex_match_limit: lua.regex_match_limit,
        max_req_headers: lua.max_req_headers,
        max_resp_headers: lua.max_resp_headers,
        max_uri_args: lua.max_uri_args,
        max_post_args: lua.max_post_args,
        socket_pool_size: lua.socket_pool_size,
        time_limit: lua.time_limit,
        memory_limit: lua.memory_limit.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
    }
}

/// Settings of the HTTP server side.
#[must_use]
pub fn server(client: &ClientLimits) -> ServerSettings {
    ServerSettings {
        header_buffer: client.header_buffer_size as usize,
        large_header_buffers: (client.large_header_buffers.number as usize, client.large_header_buffers.size as usize),
        keepalive_requests: client.keepalive_requests,
        keepalive_timeout: client.keepalive_timeout,
        keepalive_header: client.keepalive_header.map(|time| time.as_secs()),
        keepalive_time: client.keepalive_time,
        header_timeout: client.header_timeout,
        body_timeout: client.body_timeout,
        send_timeout: client.send_timeout,
        ..ServerSettings::default()
    }
}

/// Who vouches for the peers of the gateway's own calls; `None` means the system's authorities alone.
///
/// # Errors
/// A file that cannot be read or holds no certificates.
pub fn trust(settings: &Settings) -> anyhow::Result<Option<TrustStore>> {
    let trusted: Vec<String> = settings.tls.trusted.iter().map(text_of).collect::<Result<_, _>>()?;
    if trusted.is_empty() {
        return Ok(if settings.tls.trust_system { None } else { Some(TrustStore::empty()) });
    }
    let given = TrustStore::from_pem(trusted.iter().map(|pem| ("lua_ssl_trusted_certificate", pem.as_bytes())))?;
    Ok(Some(if settings.tls.trust_system { given.and(&TrustStore::system()?) } else { given }))
}

/// The node's resolver: its settings, the system's `resolv.conf` where they name no server, and the hosts file.
#[must_use]
pub fn resolver(names: &NameResolution) -> Resolver {
    let mut settings = system_names();
    if !names.servers.is_empty() {
        settings.servers.clone_from(&names.servers);
    }
    settings.hosts = gibbon_dns::Hosts::parse(&std::fs::read_to_string(&names.hosts_file).unwrap_or_default());
    settings.order = names.order.iter().map(|step| order_step(*step)).collect();
    settings.valid_ttl = names.valid_ttl;
    settings.stale_ttl = names.stale_ttl;
    settings.not_found_ttl = names.not_found_ttl;
    settings.error_ttl = names.error_ttl;
    settings.cache_size = names.cache_size;
    settings.coalesce = names.coalesce;
    Resolver::new(settings, Arc::new(gibbon_dns::SystemClock::default()))
}

/// Name resolution as this machine has it.
pub fn system_names() -> gibbon_dns::Settings {
    let mut settings = gibbon_dns::Settings::default();
    if let Ok(text) = std::fs::read_to_string("/etc/resolv.conf") {
        settings.apply_resolv_conf(&text);
    }
    let variable = |name| std::env::var(name).ok();
    settings.apply_environment(variable("LOCALDOMAIN").as_deref(), variable("RES_OPTIONS").as_deref());
    settings
}

fn order_step(step: RecordType) -> OrderStep {
    match step {
        RecordType::Last => OrderStep::Last,
        RecordType::A => OrderStep::Kind(RecordKind::A),
        RecordType::Aaaa => OrderStep::Kind(RecordKind::Aaaa),
        RecordType::Srv => OrderStep::Kind(RecordKind::Srv),
        RecordType::Cname => OrderStep::Cname,
    }
}
