// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done with each crate: a function of bytes, for the guest and for the host.
//!
//! Each result is text that says enough of what the crate computed. `build.rs` has the host compute what the guest is to
//! find.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec;
use alloc::vec::Vec;

/// Something that a crate does with bytes.
pub(crate) type Work = fn(&[u8]) -> Result<String, String>;

/// Writes a list of numbers in a few: how many, their sum, and the last one.
fn sums(numbers: impl Iterator<Item = usize>) -> String {
    let (mut count, mut sum, mut last) = (0_usize, 0_usize, 0);
    for number in numbers {
        (count, sum, last) = (count + 1, sum.wrapping_add(number), number);
    }
    format!("{count} with sum {sum}, the last is {last}")
}

/// Says what bytes are without writing all of them.
fn brief(bytes: &[u8]) -> String {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    format!("{} bytes, {:016x}", bytes.len(), bytes.iter().fold(0xcbf2_9ce4_8422_2325, mix))
}

fn said(error: impl core::fmt::Debug) -> String {
    format!("{error:?}")
}

/// Finds lines, and a word, as fast as the CPU allows.
///
/// # Errors
/// None.
pub(crate) fn memchr(bytes: &[u8]) -> Result<String, String> {
    let lines = sums(memchr::memchr_iter(b'\n', bytes));
    let words = sums(memchr::memmem::find_iter(bytes, "sandbox"));
    let either = sums(memchr::memchr3_iter(b'x', b'y', b'z', bytes));
    Ok(format!("{lines}; {words}; {either}; {:?}", memchr::memrchr(b'#', bytes)))
}

/// Hashes.
///
/// # Errors
/// None.
pub(crate) fn sha2(bytes: &[u8]) -> Result<String, String> {
    use sha2::Digest as _;
    let digits = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Ok(format!("{} {}", digits(&sha2::Sha256::digest(bytes)), digits(&sha2::Sha512::digest(bytes))))
}

/// Finds the links of a text in Markdown.
///
/// # Errors
/// The crate's own.
pub(crate) fn regex(bytes: &[u8]) -> Result<String, String> {
    let text = core::str::from_utf8(bytes).map_err(said)?;
    let links = regex::Regex::new(r"\[(?<text>[^\]]+)\]\((?<target>[\w./#-]+)\)").map_err(said)?;
    let numbers = regex::Regex::new(r"\b\d{1,3}(,\d{3})+\b").map_err(said)?;
    let links: Vec<_> =
        links.captures_iter(text).map(|link| format!("{} to {}", &link["text"], &link["target"])).collect();
    Ok(format!(
        "{} links: {}; numbers: {}",
        links.len(),
        links.join(", "),
        sums(numbers.find_iter(text).map(|found| found.start()))
    ))
}

/// Reads JSON, and writes it again.
///
/// # Errors
/// The crate's own.
pub(crate) fn serde_json(bytes: &[u8]) -> Result<String, String> {
    fn depth(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
            serde_json::Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
            _ => 0,
        }
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = serde_json::to_string_pretty(&value).map_err(|error| error.to_string())?;
    Ok(format!("{} levels, written {}", depth(&value), brief(text.as_bytes())))
}

/// Reads a certificate.
///
/// # Errors
/// The crate's own.
pub(crate) fn x509_cert(bytes: &[u8]) -> Result<String, String> {
    use x509_cert::der::{Decode as _, Encode as _};
    let certificate = x509_cert::Certificate::from_der(bytes).map_err(said)?;
    let body = &certificate.tbs_certificate;
    let again = certificate.to_der().map_err(said)?;
    let extensions =
        body.extensions.iter().flatten().map(|extension| extension.extn_id.to_string()).collect::<Vec<_>>();
    Ok(format!(
        "{} {} until {} with {}; the same again: {}",
        body.subject,
        body.serial_number,
        body.validity.not_after,
        extensions.join(" "),
        again == bytes
    ))
}

/// Decodes a picture.
///
/// # Errors
/// The crate's own.
pub(crate) fn minipng(bytes: &[u8]) -> Result<String, String> {
    let header = minipng::decode_png_header(bytes).map_err(said)?;
    let mut pixels = vec![0; header.required_bytes()];
    let image = minipng::decode_png(bytes, &mut pixels).map_err(said)?;
    Ok(format!("{} x {}: {}", image.width(), image.height(), brief(image.pixels())))
}

/// Inflates.
///
/// # Errors
/// The crate's own.
pub(crate) fn miniz_oxide(bytes: &[u8]) -> Result<String, String> {
    let text = miniz_oxide::inflate::decompress_to_vec_zlib(bytes).map_err(said)?;
    let again = miniz_oxide::deflate::compress_to_vec_zlib(&text, 6);
    let back = miniz_oxide::inflate::decompress_to_vec_zlib(&again).map_err(said)?;
    Ok(format!("{}, deflated {}, inflated {}", brief(&text), brief(&again), back == text))
}

/// Decompresses zstd.
///
/// # Errors
/// The crate's own.
pub(crate) fn ruzstd(mut bytes: &[u8]) -> Result<String, String> {
    use ruzstd::io::Read as _;
    let mut decoder = ruzstd::decoding::StreamingDecoder::new(&mut bytes).map_err(said)?;
    let (mut text, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        match decoder.read(&mut piece).map_err(said)? {
            0 => return Ok(brief(&text)),
            len => text.extend_from_slice(&piece[..len]),
        }
    }
}

/// Reads XML.
///
/// # Errors
/// The crate's own.
pub(crate) fn roxmltree(bytes: &[u8]) -> Result<String, String> {
    let text = core::str::from_utf8(bytes).map_err(said)?;
    let document = roxmltree::Document::parse(text).map_err(said)?;
    let texts = document.descendants().filter(|node| node.is_text()).filter_map(|node| node.text());
    let texts = texts.collect::<String>();
    let attributes = sums(document.descendants().map(|node| node.attributes().len()));
    Ok(format!(
        "{}: attributes {attributes}; text {}",
        document.root_element().tag_name().name(),
        brief(texts.as_bytes())
    ))
}

/// Reads TOML.
///
/// # Errors
/// The crate's own.
pub(crate) fn toml(bytes: &[u8]) -> Result<String, String> {
    #[derive(serde::Deserialize)]
    struct Lock {
        version: u32,
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
        #[serde(default)]
        dependencies: Vec<String>,
    }
    let lock: Lock = toml::from_str(core::str::from_utf8(bytes).map_err(said)?).map_err(|error| error.to_string())?;
    let name = |package: &Package| format!("{} {}", package.name, package.version);
    let most = lock.package.iter().max_by_key(|package| package.dependencies.len()).map(name);
    let dependencies = sums(lock.package.iter().map(|package| package.dependencies.len()));
    Ok(format!("version {}, packages {dependencies}, most has {}", lock.version, most.unwrap_or("none".to_owned())))
}
