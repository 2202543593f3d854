//! The style sheets: contrast, user preferences, and no external resources.

use std::collections::BTreeMap;

const SHEET: &str = include_str!("../../../static/sisepan.css");
const PAGE: &str = include_str!("../../../static/page.css");

/// Returns the relative luminance of a colour. Source: WCAG 2.2.
fn luminance(hex: &str) -> f64 {
    let full = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(&full[at..at + 2], 16).unwrap()) / 255.0;
        if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
}

fn contrast(a: &str, b: &str) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// Returns every `--name: light-dark(#light, #dark)` of a sheet.
fn pairs(sheet: &str) -> BTreeMap<String, Vec<[String; 2]>> {
    let mut pairs: BTreeMap<String, Vec<[String; 2]>> = BTreeMap::new();
    let mut rest = sheet;
    while let Some(at) = rest.find(": light-dark(#") {
        let name: String = rest[..at].chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let name: String = name.chars().rev().collect();
        rest = &rest[at + ": light-dark(#".len()..];
        let (both, after) = rest.split_once(')').unwrap();
        let (light, dark) = both.split_once(", #").unwrap();
        pairs.entry(name).or_default().push([light.to_owned(), dark.to_owned()]);
        rest = after;
    }
    pairs
}

#[test]
fn every_colour_is_readable_on_both_backgrounds() {
    for (sheet, background, colors) in [
        (SHEET, "--g", ["--up", "--down", "--i", "--q", "--o", "--w"].as_slice()),
        (PAGE, "--ground", ["--ink", "--quiet", "--link", "--live", "--warn"].as_slice()),
    ] {
        let pairs = pairs(sheet);
        let backgrounds = &pairs[background][0];
        for name in colors {
            assert!(!pairs[*name].is_empty());
            for both in &pairs[*name] {
                for (color, background) in both.iter().zip(backgrounds) {
                    let ratio = contrast(color, background);
                    assert!(ratio >= 4.5, "{name} #{color} on #{background}: {ratio:.2}");
                }
            }
        }
    }
    // The background of a price that has just changed.
    let pairs = pairs(SHEET);
    for (ink, flash) in pairs["--i"][0].iter().zip(&pairs["--f"][0]) {
        assert!(contrast(ink, flash) >= 4.5);
    }
}

#[test]
fn the_badge_uses_the_colours_of_the_style_sheet() {
    let source = include_str!("../../../src/options/colors.rs");
    let (names, pairs) = (["--up", "--down"], pairs(SHEET));
    for color in names.iter().flat_map(|name| &pairs[*name]).flatten() {
        assert!(source.contains(&format!("0x{color}")), "the badge lacks #{color}");
    }
}

#[test]
fn the_style_sheet_loads_nothing_and_honours_user_preferences() {
    for sheet in [SHEET, PAGE] {
        assert_eq!(sheet.matches('{').count(), sheet.matches('}').count());
        assert!(!sheet.contains("url(") && !sheet.contains("@import") && !sheet.contains("@font-face"));
    }
    for wanted in
        ["prefers-reduced-motion", "prefers-contrast", "forced-colors", "@media print", "@container", "tabular-nums"]
    {
        assert!(SHEET.contains(wanted), "{wanted}");
    }
    // No rule may match elements of the surrounding page.
    let rules = SHEET.lines().filter(|line| line.ends_with('{') || line.contains(" { "));
    for rule in rules {
        let selector = rule.split('{').next().unwrap().trim();
        assert!(
            // `:host` matches only inside a shadow tree.
            ["@", ".", "section.sisepan", ":host"].iter().any(|start| selector.starts_with(start)),
            "{rule}"
        );
    }
}
