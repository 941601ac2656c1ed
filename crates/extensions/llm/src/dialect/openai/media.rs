//! Data URIs and the media parts of OpenAI's messages.

use crate::Result;
use crate::canonical::{Media, Modality, Source};
use crate::json::Fields;
use serde_json::{Map, Value, json};

/// Reads an address that may be a `data:` URI.
pub(in crate::dialect) fn read_url(url: String) -> Source {
    match split_data_uri(&url) {
        Some((mime, base64)) => Source::Data { mime: mime.to_owned(), base64: base64.to_owned() },
        None => Source::Url { url, mime: None },
    }
}

/// The MIME type and the base64 of a `data:` URI (RFC 2397); parameters but `base64` are left out.
fn split_data_uri(url: &str) -> Option<(&str, &str)> {
    let scheme = url.get(..5).filter(|s| s.eq_ignore_ascii_case("data:"))?;
    let (head, data) = url.get(scheme.len()..)?.split_once(',')?;
    let mime = head.strip_suffix(";base64")?.split(';').next()?;
    Some((if mime.is_empty() { "text/plain" } else { mime }, data))
}

/// The address of a source, as a `data:` URI where it is data.
pub(in crate::dialect) fn url_of(source: &Source) -> Option<String> {
    match source {
        Source::Data { mime, base64 } => Some(format!("data:{mime};base64,{base64}")),
        Source::Url { url, .. } => Some(url.clone()),
        Source::FileId(_) | Source::Text(_) => None,
    }
}

/// The kind of content of a MIME type.
pub(in crate::dialect) fn modality_of(mime: &str) -> Modality {
    match mime.split('/').next() {
        Some("image") => Modality::Image,
        Some("audio") => Modality::Audio,
        Some("video") => Modality::Video,
        _ => Modality::File,
    }
}

/// Reads `image_url`: an object with `url` and `detail`, or the address itself.
pub(in crate::dialect) fn read_image(mut part: Fields<'_>, key: &str) -> Result<(Media, Map<String, Value>)> {
    let (url, detail) = match part.take(key) {
        Some(Value::String(url)) => (url, part.string("detail")?),
        Some(Value::Object(o)) => {
            let path = part.path(key);
            let mut image = Fields::of(Value::Object(o), path)?;
            (image.need_string("url")?, image.string("detail")?)
        }
        _ => return Err(part.must_be(key, "an object with a url")),
    };
    let modality = if key == "video_url" { Modality::Video } else { Modality::Image };
    Ok((Media { modality, source: read_url(url), name: None, detail }, part.rest()))
}

/// Reads `input_audio`.
pub(super) fn audio_mime(format: &str) -> String {
    match format {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    }
}

/// The format OpenAI calls a MIME type by.
pub(super) fn audio_format(mime: &str) -> &str {
    match mime.strip_prefix("audio/").unwrap_or(mime) {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        other => other,
    }
}

/// Reads the media part `kind` of a chat message.
pub(in crate::dialect) fn read_part(kind: &str, mut part: Fields<'_>) -> Result<(Media, Map<String, Value>)> {
    match kind {
        "image_url" | "video_url" => read_image(part, kind),
        "input_audio" => {
            let audio = part.inner("input_audio", |mut a| {
                let base64 = a.need_string("data")?;
                let mime = audio_mime(&a.string("format")?.unwrap_or_else(|| "wav".to_owned()));
                Ok(Source::Data { mime, base64 })
            })?;
            let source = audio.ok_or_else(|| part.must_be("input_audio", "an object"))?;
            Ok((Media { modality: Modality::Audio, source, name: None, detail: None }, part.rest()))
        }
        _ => {
            let file = part.inner("file", |mut f| {
                let name = f.string("filename")?;
                let source = match (f.string("file_data")?, f.string("file_id")?) {
                    (Some(data), _) => match read_url(data) {
                        // Bare base64 is taken for the PDF it nearly always is.
                        Source::Url { url, .. } if !url.contains(':') => {
                            Source::Data { mime: "application/pdf".to_owned(), base64: url }
                        }
                        source => source,
                    },
                    (None, Some(id)) => Source::FileId(id),
                    (None, None) => return Err(f.must_be("file_data", "a data URI, or file_id a string")),
                };
                Ok((source, name))
            })?;
            let (source, name) = file.ok_or_else(|| part.must_be("file", "an object"))?;
            Ok((Media { modality: Modality::File, source, name, detail: None }, part.rest()))
        }
    }
}

/// Writes a media part of a chat message; `None` when the format has no place for it.
pub(in crate::dialect) fn write_part(media: &Media) -> Option<Map<String, Value>> {
    let value = match (media.modality, &media.source) {
        (Modality::Image | Modality::Video, source) => {
            let key = if media.modality == Modality::Image { "image_url" } else { "video_url" };
            let mut image = json!({"url": url_of(source)?});
            if let (Some(detail), Some(o)) = (&media.detail, image.as_object_mut()) {
                o.insert("detail".into(), detail.as_str().into());
            }
            json!({"type": key, key: image})
        }
        (Modality::Audio, Source::Data { mime, base64 }) => {
            json!({"type": "input_audio", "input_audio": {"data": base64, "format": audio_format(mime)}})
        }
        (Modality::File, Source::FileId(id)) => json!({"type": "file", "file": {"file_id": id}}),
        (Modality::File, source @ Source::Data { .. }) => {
            let name = media.name.as_deref().unwrap_or("file");
            json!({"type": "file", "file": {"filename": name, "file_data": url_of(source)?}})
        }
        _ => return None,
    };
    match value {
        Value::Object(o) => Some(o),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn data_uris_come_apart_and_addresses_stay_whole() {
        assert_eq!(
            read_url("data:image/png;base64,AAAA".into()),
            Source::Data { mime: "image/png".into(), base64: "AAAA".into() }
        );
        assert_eq!(
            read_url("data:;charset=x;base64,QQ==".into()),
            Source::Data { mime: "text/plain".into(), base64: "QQ==".into() }
        );
        let web = "https://a.test/x,y;base64,z";
        assert_eq!(read_url(web.into()), Source::Url { url: web.into(), mime: None });
        assert!(matches!(read_url("data:text/plain,hi".into()), Source::Url { .. }));
    }
}
