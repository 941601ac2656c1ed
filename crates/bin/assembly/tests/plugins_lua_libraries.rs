//! The libraries that plugins require, and what they find on `ngx`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "lua/gateway.rs"]
#[allow(dead_code)]
mod gateway;

use gateway::trusted;
use gibbon_testkit::upstream;
use serde_json::{Value, json};

#[test]
fn everything_of_the_list_is_there() {
    let gateway = trusted(
        &format!(
            "local missing = {{}}
             for line in io.lines('{}/tests/lua/surface.txt') do
               local module = line:match('^require (.+)')
               if module then
                 local ok, err = pcall(require, module)
                 if not ok then missing[#missing + 1] = tostring(err) end
               elseif line:sub(1, 1) ~= '#' then
                 local value = _G
                 for part in line:gmatch('[^.]+') do if value ~= nil then value = value[part] end end
                 if value == nil then missing[#missing + 1] = line end
               end
             end
             kong.response.exit(200, table.concat(missing, '\\n'))",
            env!("CARGO_MANIFEST_DIR")
        ),
        &[],
    );
    let missing = gateway.get("/").text();
    assert!(missing.is_empty(), "{missing}");
}

#[test]
fn tokens_are_made_verified_and_judged() {
    let gateway = trusted(
        "local parser = require 'kong.plugins.jwt.jwt_parser'
         local pkey = require 'resty.openssl.pkey'
         local out = {}
         local function both(algorithm, private, public)
           local text = assert(parser.encode({ sub = 'ann', exp = ngx.time() + 60 }, private, algorithm))
           local token = assert(parser:new(text))
           local other = parser:new(text:sub(1, -9) .. 'AAAAAAAA')
           out[algorithm] = token.claims.sub == 'ann' and token:verify_signature(public) and not other:verify_signature(public)
         end
         for _, algorithm in ipairs({ 'HS256', 'HS384', 'HS512' }) do both(algorithm, 'secret', 'secret') end
         local rsa = pkey.new({ type = 'RSA', bits = 2048 })
         for _, algorithm in ipairs({ 'RS256', 'RS512', 'PS256' }) do
           both(algorithm, rsa:to_PEM('private'), rsa:to_PEM('public'))
         end
         local ec = pkey.new({ type = 'EC', curve = 'prime256v1' })
         both('ES256', ec:to_PEM('private'), ec:to_PEM('public'))
         local token = parser:new(parser.encode({ exp = 1, nbf = ngx.time() + 100 }, 's'))
         local ok, errors = token:verify_registered_claims({ 'exp', 'nbf' })
         out.ok, out.errors = ok, errors
         out.long = select(2, parser:new(parser.encode({ exp = ngx.time() + 1000 }, 's')):check_maximum_expiration(10))
         out.bad = { select(2, parser:new('a.b')), select(2, parser:new('e30.e30.')) }
         kong.response.exit(200, out)",
        &[],
    );
    let out = gateway.get("/").json().unwrap();
    let algorithms = ["HS256", "HS384", "HS512", "RS256", "RS512", "PS256", "ES256"];
    assert!(algorithms.iter().all(|algorithm| out[algorithm] == true), "{out}");
    assert_eq!(
        (&out["ok"], &out["errors"]),
        (&json!(false), &json!({"exp": "token expired", "nbf": "token not valid yet"}))
    );
    assert_eq!(out["long"], json!({"exp": "exceeds maximum allowed expiration"}));
    assert_eq!(out["bad"], json!(["invalid JSON", "invalid alg"]));
}

#[test]
fn a_queue_hands_batches_out_behind_the_requests_and_again_when_that_fails() {
    let collector = upstream::echo().unwrap();
    let gateway = trusted(
        &format!(
            "local Queue = require 'kong.tools.queue'
             local function send(address, batch)
               failures = (failures or 0) + 1
               if failures == 1 then return nil, 'not today' end
               local answer, err = require('resty.http').new():request_uri(address, {{
                 method = 'POST', body = require('cjson').encode(batch) }})
               return answer ~= nil, err
             end
             for i = 1, 5 do
               assert(Queue.enqueue({{ name = 'log', max_batch_size = 3, max_coalescing_delay = 0.1 }}, send, 'http://{}/', i))
             end
             kong.response.exit(200, 'done')",
            collector.address()
        ),
        &[("nginx_worker_processes", "1")],
    );
    assert_eq!(gateway.get("/").text(), "done");
    let batches: Vec<Value> =
        (0..2).map(|_| serde_json::from_slice(&collector.next_request().unwrap().body).unwrap()).collect();
    assert_eq!(batches, [json!([1, 2, 3]), json!([4, 5])]);
}

#[test]
fn the_small_modules_of_penlight_do_what_they_say() {
    let gateway = trusted(
        "local List, path, types, pretty = require 'pl.List', require 'pl.path', require 'pl.types', require 'pl.pretty'
         kong.response.exit(200, {
           list = List({ 3, 1, 2 }):sort():map(function(n) return n * 2 end):join(','),
           reversed = List({ 1, 2, 3 }):reverse():join(''), found = List({ 'a', 'b' }):index('b'),
           base = path.basename('/a/b.txt'), extension = path.extension('/a/b.txt'), joined = path.join('/a', 'b', 'c'),
           callable = types.is_callable(setmetatable({}, { __call = function() end })), empty = types.is_empty({}),
           read = pretty.read('{ a = 1 }').a, timestamps = require('kong.tools.timestamp').get_timestamps(1700000000000),
           ip = { require('kong.tools.ip').hostname_type('[::1]:80'), require('kong.tools.ip').hostname_type('a.test') },
           sha = require('kong.tools.sha256').sha256_hex('') })",
        &[],
    );
    let out = gateway.get("/").json().unwrap();
    assert_eq!((&out["list"], &out["reversed"], &out["found"]), (&json!("2,4,6"), &json!("321"), &json!(2)));
    assert_eq!((&out["base"], &out["extension"], &out["joined"]), (&json!("b.txt"), &json!(".txt"), &json!("/a/b/c")));
    assert_eq!((&out["callable"], &out["empty"], &out["read"]), (&json!(true), &json!(true), &json!(1)));
    assert_eq!(out["timestamps"]["year"], json!(1_672_531_200_000_u64));
    assert_eq!(out["timestamps"]["month"], json!(1_698_796_800_000_u64));
    assert_eq!(out["ip"], json!(["ipv6", "name"]));
    assert_eq!(out["sha"], "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}
