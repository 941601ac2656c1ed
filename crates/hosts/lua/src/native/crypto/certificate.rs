//! Certificates (RFC 5280): what stands in them, as tables.

use mlua::{Lua, LuaString, Table, Value};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

use super::key::{Key, pem_blocks};
use super::{chain, given};
use crate::native::{add, lossy, text};

/// OpenSSL's short names of the attributes that names are made of.
const ATTRIBUTES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.42", "GN"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// The certificates of a text: all of PEM, or one of DER.
pub fn read(source: &[u8]) -> Vec<Vec<u8>> {
    match std::str::from_utf8(source) {
        Ok(text) if text.contains("-----BEGIN ") => pem_blocks(text)
            .into_iter()
            .filter(|(label, _)| matches!(label.as_str(), "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE"))
            .map(|(_, der)| der)
            .collect(),
        _ => vec![source.to_vec()],
    }
}

fn name(lua: &Lua, of: &X509Name<'_>) -> mlua::Result<Table> {
    let list = lua.create_table()?;
    for attribute in of.iter_attributes() {
        let oid = attribute.attr_type().to_id_string();
        let short = ATTRIBUTES.iter().find(|(id, _)| *id == oid).map_or(oid.as_str(), |(_, short)| short);
        let one = lua.create_table()?;
        one.raw_set("sn", short)?;
        one.raw_set("id", oid.as_str())?;
        one.raw_set("blob", lua.create_string(attribute.as_slice())?)?;
        list.raw_push(one)?;
    }
    Ok(list)
}

fn alternative(lua: &Lua, of: &GeneralName<'_>) -> mlua::Result<Option<Table>> {
    let (kind, value) = match of {
        GeneralName::DNSName(name) => ("DNS", (*name).to_owned()),
        GeneralName::RFC822Name(name) => ("email", (*name).to_owned()),
        GeneralName::URI(name) => ("URI", (*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes).ok().map(|four| std::net::IpAddr::from(four).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|sixteen| std::net::IpAddr::from(sixteen).to_string()),
            };
            ("IP", address.unwrap_or_default())
        }
        GeneralName::DirectoryName(name) => ("DirName", name.to_string()),
        _ => return Ok(None),
    };
    let one = lua.create_table()?;
    one.raw_set("type", kind)?;
    one.raw_set("value", value)?;
    Ok(Some(one))
}

#[allow(clippy::cast_precision_loss)] // seconds
fn table(lua: &Lua, der: &[u8]) -> mlua::Result<Option<Table>> {
    let Ok((rest, certificate)) = X509Certificate::from_der(der) else { return Ok(None) };
    if !rest.is_empty() {
        return Ok(None);
    }
    let out = lua.create_table()?;
    out.raw_set("der", lua.create_string(der)?)?;
    out.raw_set("subject", name(lua, certificate.subject())?)?;
    out.raw_set("issuer", name(lua, certificate.issuer())?)?;
    out.raw_set("not_before", certificate.validity().not_before.timestamp() as f64)?;
    out.raw_set("not_after", certificate.validity().not_after.timestamp() as f64)?;
    out.raw_set("serial", lua.create_string(certificate.raw_serial())?)?;
    out.raw_set("version", certificate.version().0 + 1)?;
    out.raw_set("spki", lua.create_string(certificate.public_key().raw)?)?;
    out.raw_set("signature_oid", certificate.signature_algorithm.algorithm.to_id_string())?;
    let (names, extensions) = (lua.create_table()?, lua.create_table()?);
    for extension in certificate.extensions() {
        let one = lua.create_table()?;
        one.raw_set("critical", extension.critical)?;
        one.raw_set("value", lua.create_string(extension.value)?)?;
        extensions.raw_set(extension.oid.to_id_string(), one)?;
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(list) => {
                for general in &list.general_names {
                    if let Some(one) = alternative(lua, general)? {
                        names.raw_push(one)?;
                    }
                }
            }
            ParsedExtension::BasicConstraints(basic) => {
                out.raw_set("ca", basic.ca)?;
                out.raw_set("path_length", basic.path_len_constraint)?;
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                out.raw_set("subject_key_id", lua.create_string(id.0)?)?;
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                out.raw_set("authority_key_id", text(lua, id.key_identifier.as_ref().map(|id| id.0))?)?;
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                let urls = lua.create_table()?;
                for description in access.iter() {
                    if description.access_method.to_id_string() == "1.3.6.1.5.5.7.48.1"
                        && let GeneralName::URI(url) = &description.access_location
                    {
                        urls.raw_push(*url)?;
                    }
                }
                out.raw_set("ocsp", urls)?;
            }
            ParsedExtension::CRLDistributionPoints(points) => {
                let urls = lua.create_table()?;
                for point in points.iter() {
                    if let Some(x509_parser::extensions::DistributionPointName::FullName(names)) =
                        &point.distribution_point
                    {
                        for name in names {
                            if let GeneralName::URI(url) = name {
                                urls.raw_push(*url)?;
                            }
                        }
                    }
                }
                out.raw_set("crl", urls)?;
            }
            _ => {}
        }
    }
    out.raw_set("names", names)?;
    out.raw_set("extensions", extensions)?;
    Ok(Some(out))
}

fn list(certificates: &Table) -> mlua::Result<Vec<Vec<u8>>> {
    certificates.sequence_values::<LuaString>().map(|der| Ok(der?.as_bytes().to_vec())).collect()
}

pub fn install(lua: &Lua, native: &Table) -> mlua::Result<()> {
    add(lua, native, "certificate_read", |lua, source: LuaString| match read(&source.as_bytes()).first() {
        Some(der) => table(lua, der),
        None => Ok(None),
    })?;
    // All of a PEM text, as DER.
    add(lua, native, "certificates_of", |lua, source: LuaString| {
        read(&source.as_bytes()).iter().map(|der| lua.create_string(der)).collect::<mlua::Result<Vec<_>>>()
    })?;
    add(lua, native, "pem", |_, (label, der): (LuaString, LuaString)| {
        Ok(crate::native::text::pem(&lossy(&label), &der.as_bytes()))
    })?;
    add(lua, native, "certificate_key", |lua, spki: LuaString| {
        given(lua, Key::from_spki(&spki.as_bytes()).ok_or_else(|| "the key is of an unknown kind".to_owned()))
    })?;
    add(lua, native, "certificate_signed_by", |_, (der, key): (LuaString, mlua::AnyUserData)| {
        Ok(chain::signed_by(&der.as_bytes(), &*key.borrow::<Key>()?))
    })?;
    // The chain that was found, from the certificate to the authority; or nil and what is wrong.
    type Verify = (LuaString, Table, Table, f64, usize);
    #[allow(clippy::cast_possible_truncation)] // seconds
    add(lua, native, "certificate_verify", |lua, (leaf, between, trusted, now, depth): Verify| {
        let (between, trusted) = (list(&between)?, list(&trusted)?);
        Ok(match chain::find(&leaf.as_bytes(), &between, &trusted, now as i64, depth) {
            Ok(found) => {
                let found = found.iter().map(|der| lua.create_string(der)).collect::<mlua::Result<Vec<_>>>()?;
                (Value::Table(lua.create_sequence_from(found)?), None)
            }
            Err(error) => (Value::Nil, Some(error)),
        })
    })
}
