//! The badge as PNG, for email clients, which do not display SVG.
//!
//! Drawn from the same parts as the SVG, at twice the resolution for high-density screens, and with compiled-in fonts
//! instead of those of the machine.

#![allow(clippy::float_arithmetic, reason = "geometry of glyph outlines; prices are already text here")]

use std::sync::LazyLock;

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use anyhow::anyhow;
use ttf_parser::{Face, FaceParsingError, GlyphId, OutlineBuilder};

use super::badge::{Badge, HEIGHT, Part};
use crate::options::Rgb;

/// Pixels of the image for each CSS pixel.
const SCALE: u32 = 2;

/// Baseline of the text, in CSS pixels, as in the SVG.
const BASELINE: f32 = 17.5;

/// Corner radius at the outer edge of the border, in CSS pixels.
const RADIUS: f32 = 3.5;

/// Pixel density in pixels per metre: 2 × 96 dpi.
const DENSITY: u32 = 7559;

/// Margin in image pixels beside a text that its strokes may reach into.
const MARGIN: u32 = 4;

/// Distance of the Bézier control points from the ends of a quarter circle with radius 1.
const QUARTER: f32 = 0.552_285;

static FONTS: LazyLock<Result<Fonts, FaceParsingError>> = LazyLock::new(|| {
    let regular = Face::parse(include_bytes!("../../static/fonts/badge-regular.otf"), 0)?;
    let bold = Face::parse(include_bytes!("../../static/fonts/badge-bold.otf"), 0)?;
    Ok(Fonts { regular, bold })
});

struct Fonts {
    regular: Face<'static>,
    /// Latin letters, digits and the currency names.
    bold: Face<'static>,
}

/// Returns the PNG file.
///
/// # Errors
/// If a font can't be parsed or encoding fails; neither depends on the badge.
pub fn draw(badge: &Badge) -> anyhow::Result<Vec<u8>> {
    let fonts = FONTS.as_ref().map_err(|error| anyhow!("parsing a badge font: {error}"))?;
    let mut canvas = Canvas::new(badge.pixels_wide() * SCALE, HEIGHT * SCALE);
    let [background, border, ..] = badge.light;
    canvas.rounded(0.0, RADIUS, border);
    canvas.rounded(1.0, RADIUS - 1.0, background);
    for part in &badge.parts {
        canvas.text(fonts, part, badge.light[part.color]);
    }
    canvas.encode()
}

impl Fonts {
    /// Returns the glyph of a character, or a box if no font has it.
    fn glyph(&self, c: char, bold: bool) -> (&Face<'static>, GlyphId) {
        let faces = if bold { [&self.bold, &self.regular] } else { [&self.regular; 2] };
        let found = faces.into_iter().find_map(|face| Some((face, face.glyph_index(c)?)));
        found.unwrap_or((&self.regular, GlyphId(0)))
    }
}

struct Canvas {
    width: u32,
    height: u32,
    /// Red, green, blue and alpha.
    pixels: Vec<[u8; 4]>,
    shape: Rasterizer,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        let (columns, rows) = (width as usize, height as usize);
        Self { width, height, pixels: vec![[0; 4]; columns * rows], shape: Rasterizer::new(0, 0) }
    }

    /// Fills a rounded rectangle with an inset of `inset` CSS pixels on each side.
    fn rounded(&mut self, inset: f32, radius: f32, color: Rgb) {
        let scale = SCALE as f32;
        let (near, radius) = (inset * scale, radius * scale);
        let (right, bottom) = (self.width as f32 - near, self.height as f32 - near);
        self.shape.reset(self.width as usize, self.height as usize);
        let mut pen = Pen::new(&mut self.shape, point(0.0, 0.0), point(1.0, 1.0));
        let bend = radius * (1.0 - QUARTER);
        pen.move_to(near + radius, near);
        pen.line_to(right - radius, near);
        pen.curve_to(right - bend, near, right, near + bend, right, near + radius);
        pen.line_to(right, bottom - radius);
        pen.curve_to(right, bottom - bend, right - bend, bottom, right - radius, bottom);
        pen.line_to(near + radius, bottom);
        pen.curve_to(near + bend, bottom, near, bottom - bend, near, bottom - radius);
        pen.line_to(near, near + radius);
        pen.curve_to(near, near + bend, near + bend, near, near + radius, near);
        pen.close();
        self.fill(0, color);
    }

    /// Draws a text, scaled to the width of its part like `textLength` in the SVG.
    fn text(&mut self, fonts: &Fonts, part: &Part, color: Rgb) {
        let ems = |(face, glyph): (&Face<'_>, GlyphId)| {
            f32::from(face.glyph_hor_advance(glyph).unwrap_or_default()) / f32::from(face.units_per_em())
        };
        let glyphs: Vec<_> = part.text.chars().map(|c| fonts.glyph(c, part.bold)).collect();
        let natural: f32 = glyphs.iter().copied().map(ems).sum();
        if natural <= 0.0 {
            return;
        }
        let tenths = |tenths: u32| (tenths * SCALE) as f32 / 10.0;
        let (x_scale, size) = (tenths(part.length) / natural, (part.size * SCALE) as f32);
        // Only these columns of the image are rasterized.
        let left = (part.x * SCALE / 10).saturating_sub(MARGIN);
        let right = ((part.x + part.length) * SCALE / 10 + MARGIN).min(self.width);
        self.shape.reset(right.saturating_sub(left) as usize, self.height as usize);
        let mut at = point(tenths(part.x) - left as f32, BASELINE * SCALE as f32);
        for (face, glyph) in glyphs {
            let em = f32::from(face.units_per_em());
            face.outline_glyph(glyph, &mut Pen::new(&mut self.shape, at, point(x_scale / em, -size / em)));
            at.x += ems((face, glyph)) * x_scale;
        }
        self.fill(left, color);
    }

    /// Blends a colour over the image in the rasterized shape; `left` is the column at which the shape begins.
    fn fill(&mut self, left: u32, color: Rgb) {
        let [red, green, blue] = color.channels();
        self.shape.for_each_pixel_2d(|x, y, over| {
            let at = (y * self.width + left + x) as usize;
            let Some(pixel) = self.pixels.get_mut(at).filter(|_| over > 0.0) else { return };
            if over >= 1.0 {
                *pixel = [red, green, blue, u8::MAX];
                return;
            }
            let [r, g, b, a] = *pixel;
            let under = f32::from(a) / 255.0 * (1.0 - over);
            let all = over + under;
            let mix = |new: u8, old: u8| ((f32::from(new) * over + f32::from(old) * under) / all + 0.5) as u8;
            *pixel = [mix(red, r), mix(green, g), mix(blue, b), (all * 255.0 + 0.5) as u8];
        });
    }

    fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgba);
        encoder.set_depth(png::BitDepth::Eight);
        // A quarter larger than with default compression, in a fifteenth of the time.
        encoder.set_compression(png::Compression::Fast);
        encoder.set_source_srgb(png::SrgbRenderingIntent::RelativeColorimetric);
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: DENSITY, yppu: DENSITY, unit: png::Unit::Meter }));
        encoder.write_header()?.write_image_data(self.pixels.as_flattened())?;
        Ok(file)
    }
}

/// Feeds an outline into the rasterizer, converting font units (y up) to pixels (y down).
struct Pen<'a> {
    shape: &'a mut Rasterizer,
    origin: Point,
    scale: Point,
    start: Point,
    at: Point,
}

impl<'a> Pen<'a> {
    fn new(shape: &'a mut Rasterizer, origin: Point, scale: Point) -> Self {
        Self { shape, origin, scale, start: origin, at: origin }
    }

    /// Converts a point to pixels. The rasterizer requires all points to be within the image, so they are clamped.
    fn to_pixels(&self, x: f32, y: f32) -> Point {
        let (width, height) = self.shape.dimensions();
        let (x, y) = (self.origin.x + x * self.scale.x, self.origin.y + y * self.scale.y);
        point(x.clamp(0.0, width as f32), y.clamp(0.0, height as f32))
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.to_pixels(x, y);
        self.start = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.to_pixels(x, y);
        self.shape.draw_line(self.at, to);
        self.at = to;
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (by, to) = (self.to_pixels(x1, y1), self.to_pixels(x, y));
        self.shape.draw_quad(self.at, by, to);
        self.at = to;
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, to) = (self.to_pixels(x1, y1), self.to_pixels(x2, y2), self.to_pixels(x, y));
        self.shape.draw_cubic(self.at, first, second, to);
        self.at = to;
    }

    fn close(&mut self) {
        self.shape.draw_line(self.at, self.start);
        self.at = self.start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::locale::{self, Lang};
    use crate::market::{State, asset};

    #[test]
    fn fc_29_the_fonts_have_every_character_that_a_badge_can_contain() {
        let fonts = FONTS.as_ref().unwrap();
        let assert_has = |text: &str, faces: &[&Face<'_>]| {
            for (c, face) in text.chars().flat_map(|c| faces.iter().map(move |face| (c, *face))) {
                let glyph = face.glyph_index(c).unwrap_or_else(|| panic!("no {c:?} of {text:?}"));
                assert!(face.glyph_hor_advance(glyph).is_some_and(|advance| advance > 0), "{c:?}");
                assert_eq!(face.glyph_bounding_box(glyph).is_some(), !c.is_whitespace(), "{c:?} is drawn");
            }
        };
        let regular = [&fonts.regular];
        let both = [&fonts.regular, &fonts.bold];
        for c in ' '..='~' {
            assert_has(&c.to_string(), &both);
        }
        assert_has("▲▼–", &both);
        // Names from exchanges may contain any Hangul syllable, kana, and the characters of known Chinese coins.
        assert_has(&('가'..='힣').collect::<String>(), &regular);
        assert_has(&('ァ'..='ヶ').chain('ぁ'..='ん').collect::<String>(), &regular);
        assert_has("币安人生", &regular);
        for lang in Lang::ALL {
            for asset in asset::ALL {
                assert_has(&locale::asset(asset.id, lang), &regular);
            }
            for state in [State::Live, State::Delayed, State::Stale, State::Halted, State::Unknown] {
                assert_has(locale::state(state, lang), &regular);
            }
            for quote in ["KRW", "USDT", "JPY", "USD"] {
                assert_has(locale::unit(quote, lang), &both);
            }
        }
        // The texts of error badges.
        let module = include_str!("badge.rs");
        let words = module.lines().filter(|line| line.contains("=> lang.pick(")).flat_map(|line| line.split('"'));
        let words: Vec<_> = words.filter(|word| word.chars().all(|c| !"(>".contains(c))).collect();
        assert!(words.len() >= 6, "{words:?}");
        words.into_iter().for_each(|word| assert_has(word, &regular));
    }
}
