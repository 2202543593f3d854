//! A strict parser for the markup of the server. It rejects what a browser would have to repair.

use std::collections::BTreeMap;

/// An element with its attributes; entities are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element {
    pub tag: String,
    pub attributes: BTreeMap<String, String>,
}

impl Element {
    pub fn get(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// Elements in document order, and the text between them; entities are decoded.
#[derive(Debug, Default)]
pub struct Page {
    pub elements: Vec<Element>,
    pub text: String,
}

impl Page {
    pub fn all<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.tag == tag)
    }

    pub fn with<'a>(&'a self, attribute: &'a str) -> impl Iterator<Item = &'a Element> {
        self.elements.iter().filter(move |element| element.attributes.contains_key(attribute))
    }

    /// Returns the text with runs of white space collapsed into single spaces.
    pub fn words(&self) -> String {
        self.text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

const VOID: [&str; 7] = ["meta", "link", "input", "br", "hr", "img", "col"];

/// Elements whose end tag HTML makes optional and the server omits.
const OPEN: [&str; 1] = ["html"];

/// Parses a page.
///
/// # Errors
///
/// Describes the first construct that needs error recovery.
pub fn parse(body: &str) -> Result<Page, String> {
    let mut page = Page::default();
    let mut open: Vec<String> = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find('<') {
        page.text.push_str(&decode_entities(&rest[..at])?);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("<!doctype html>") {
            rest = after;
        } else if let Some(after) = rest.strip_prefix("</") {
            let (tag, after) = after.split_once('>').ok_or("an unterminated end tag")?;
            if open.last().map(String::as_str) != Some(tag) {
                return Err(format!("</{tag}> while {open:?} are open"));
            }
            open.pop();
            rest = after;
        } else {
            let (element, closed, after) = tag(rest)?;
            let void = closed || VOID.contains(&element.tag.as_str());
            if !void {
                open.push(element.tag.clone());
            }
            page.elements.push(element);
            rest = after;
        }
    }
    page.text.push_str(&decode_entities(rest)?);
    open.retain(|tag| !OPEN.contains(&tag.as_str()));
    if open.is_empty() { Ok(page) } else { Err(format!("unclosed elements: {open:?}")) }
}

fn tag(text: &str) -> Result<(Element, bool, &str), String> {
    let name: String = text[1..].chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
    if name.is_empty() {
        return Err(format!("an unescaped < at {:?}", text.chars().take(40).collect::<String>()));
    }
    let mut rest = &text[1 + name.len()..];
    let mut attributes = BTreeMap::new();
    loop {
        let trimmed = rest.trim_start();
        if let Some(after) = trimmed.strip_prefix("/>") {
            return Ok((Element { tag: name, attributes }, true, after));
        }
        if let Some(after) = trimmed.strip_prefix('>') {
            return Ok((Element { tag: name, attributes }, false, after));
        }
        if trimmed.len() == rest.len() {
            return Err(format!("no space before {:?} in <{name}", trimmed.chars().take(20).collect::<String>()));
        }
        let key: String = trimmed.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | ':')).collect();
        if key.is_empty() {
            return Err(format!("an invalid attribute in <{name}: {:?}", trimmed.chars().take(20).collect::<String>()));
        }
        rest = &trimmed[key.len()..];
        let value = match rest.strip_prefix("=\"") {
            Some(after) => {
                let (value, after) = after.split_once('"').ok_or("an unterminated value")?;
                rest = after;
                value
            }
            None if rest.starts_with('=') => return Err(format!("{key} of <{name} is not quoted")),
            None => "",
        };
        if value.contains('<') {
            return Err(format!("< in {key} of <{name}"));
        }
        if attributes.insert(key.clone(), decode_entities(value)?).is_some() {
            return Err(format!("duplicate {key} in <{name}"));
        }
    }
}

fn decode_entities(text: &str) -> Result<String, String> {
    let mut decoded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        decoded.push_str(&rest[..at]);
        let (entity, after) = rest[at + 1..].split_once(';').ok_or("an unescaped &")?;
        decoded.push(match entity {
            "#60" | "lt" => '<',
            "#62" | "gt" => '>',
            "#38" | "amp" => '&',
            "#34" | "quot" => '"',
            "#39" => '\'',
            other => return Err(format!("unknown entity &{other};")),
        });
        rest = after;
    }
    decoded.push_str(rest);
    Ok(decoded)
}

#[test]
fn markup_that_needs_error_recovery_is_rejected() {
    assert_eq!(parse("<p a=\"1&#38;2\">x &#60;</p>").unwrap().elements[0].get("a"), "1&2");
    for text in ["<p>", "</p>", "<p a=1></p>", "<p>a < b</p>", "<p>a & b</p>", "<a><b></a></b>", "<p a=\"\"b=\"\"></p>"]
    {
        assert!(parse(text).is_err(), "{text}");
    }
}
