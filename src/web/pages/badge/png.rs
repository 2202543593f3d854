//! The badge as PNG, for mail programs, which show no SVG.
//!
//! Drawn from the same parts as the SVG, twice as large for dense screens, and
//! with fonts that are compiled in: the machine's are never looked at.

#![allow(clippy::float_arithmetic, reason = "the geometry of outlines; a price comes here as text")]

use std::sync::LazyLock;

use ab_glyph_rasterizer::{Point, Rasterizer, point};
use anyhow::anyhow;
use ttf_parser::{Face, FaceParsingError, GlyphId, OutlineBuilder};

use super::super::choice::Rgb;
use super::{Badge, HEIGHT, Part};

/// Pixels of the picture in one of the page.
const SCALE: u32 = 2;

/// The baseline in the SVG, in pixels.
const BASELINE: f32 = 17.5;

/// Radius of the corners, at the outer edge of the line around the badge.
const RADIUS: f32 = 3.5;

/// Pixels a metre that say "twice as large" to whoever goes by them: 2 × 96 an inch.
const DENSITY: u32 = 7559;

/// Pixels of the picture beside a text that its strokes may reach into.
const REACH: u32 = 4;

/// How far the control points of a quarter of a circle are from its ends, for a radius of one.
const QUARTER: f32 = 0.552_285;

static FONTS: LazyLock<Result<Fonts, FaceParsingError>> = LazyLock::new(|| {
    let regular = Face::parse(include_bytes!("../../../../static/fonts/badge-regular.otf"), 0)?;
    let bold = Face::parse(include_bytes!("../../../../static/fonts/badge-bold.otf"), 0)?;
    Ok(Fonts { regular, bold })
});

struct Fonts {
    regular: Face<'static>,
    /// Latin, figures and the words for currencies.
    bold: Face<'static>,
}

/// Returns the file.
///
/// # Errors
/// If a font is broken or the encoder fails, which tests rule out.
pub fn draw(badge: &Badge) -> anyhow::Result<Vec<u8>> {
    let fonts = FONTS.as_ref().map_err(|error| anyhow!("a font of the badge: {error}"))?;
    let mut canvas = Canvas::new(badge.pixels_wide() * SCALE, HEIGHT * SCALE);
    let [ground, rule, ..] = badge.light;
    canvas.rounded(0.0, RADIUS, rule);
    canvas.rounded(1.0, RADIUS - 1.0, ground);
    for part in &badge.parts {
        canvas.text(fonts, part, badge.light[part.color]);
    }
    canvas.encode()
}

impl Fonts {
    /// Returns the glyph of a character; a box where no font has it.
    fn glyph(&self, c: char, bold: bool) -> (&Face<'static>, GlyphId) {
        let faces = if bold { [&self.bold, &self.regular] } else { [&self.regular; 2] };
        let found = faces.into_iter().find_map(|face| Some((face, face.glyph_index(c)?)));
        found.unwrap_or((&self.regular, GlyphId(0)))
    }
}

struct Canvas {
    width: u32,
    height: u32,
    /// Red, green, blue and opacity.
    pixels: Vec<[u8; 4]>,
    shape: Rasterizer,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        let (across, down) = (width as usize, height as usize);
        Self { width, height, pixels: vec![[0; 4]; across * down], shape: Rasterizer::new(0, 0) }
    }

    /// Fills the whole picture but for `inset` pixels of the page on each side.
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

    /// Writes a text as wide as it is told to be, as `textLength` does in the SVG.
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
        let (across, size) = (tenths(part.length) / natural, (part.size * SCALE) as f32);
        // Only this much of the picture is looked at.
        let left = (part.x * SCALE / 10).saturating_sub(REACH);
        let right = ((part.x + part.length) * SCALE / 10 + REACH).min(self.width);
        self.shape.reset(right.saturating_sub(left) as usize, self.height as usize);
        let mut at = point(tenths(part.x) - left as f32, BASELINE * SCALE as f32);
        for (face, glyph) in glyphs {
            let em = f32::from(face.units_per_em());
            face.outline_glyph(glyph, &mut Pen::new(&mut self.shape, at, point(across / em, -size / em)));
            at.x += ems((face, glyph)) * across;
        }
        self.fill(left, color);
    }

    /// Lays a colour over what is there, where the shape is, which begins in the column `left`.
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
        // A quarter larger than with the usual effort, in a fifteenth of the time.
        encoder.set_compression(png::Compression::Fast);
        encoder.set_source_srgb(png::SrgbRenderingIntent::RelativeColorimetric);
        encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: DENSITY, yppu: DENSITY, unit: png::Unit::Meter }));
        encoder.write_header()?.write_image_data(self.pixels.as_flattened())?;
        Ok(file)
    }
}

/// Follows an outline into a shape: from the units of a font, whose y points up, to pixels.
struct Pen<'a> {
    shape: &'a mut Rasterizer,
    origin: Point,
    scale: Point,
    begun: Point,
    at: Point,
}

impl<'a> Pen<'a> {
    fn new(shape: &'a mut Rasterizer, origin: Point, scale: Point) -> Self {
        Self { shape, origin, scale, begun: origin, at: origin }
    }

    /// The rasterizer counts on it that all points are within the picture.
    fn place(&self, x: f32, y: f32) -> Point {
        let (width, height) = self.shape.dimensions();
        let (x, y) = (self.origin.x + x * self.scale.x, self.origin.y + y * self.scale.y);
        point(x.clamp(0.0, width as f32), y.clamp(0.0, height as f32))
    }
}

impl OutlineBuilder for Pen<'_> {
    fn move_to(&mut self, x: f32, y: f32) {
        self.at = self.place(x, y);
        self.begun = self.at;
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let to = self.place(x, y);
        self.shape.draw_line(self.at, to);
        self.at = to;
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let (by, to) = (self.place(x1, y1), self.place(x, y));
        self.shape.draw_quad(self.at, by, to);
        self.at = to;
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let (first, second, to) = (self.place(x1, y1), self.place(x2, y2), self.place(x, y));
        self.shape.draw_cubic(self.at, first, second, to);
        self.at = to;
    }

    fn close(&mut self) {
        self.shape.draw_line(self.at, self.begun);
        self.at = self.begun;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{State, asset};
    use crate::text::{self, Lang};

    #[test]
    fn fc_29_the_fonts_have_every_character_that_a_badge_can_say() {
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
        // Any Hangul syllable may be in a name that an exchange gives; kana; names of Chinese coins.
        assert_has(&('가'..='힣').collect::<String>(), &regular);
        assert_has(&('ァ'..='ヶ').chain('ぁ'..='ん').collect::<String>(), &regular);
        assert_has("币安人生", &regular);
        for lang in Lang::ALL {
            for asset in asset::ALL {
                assert_has(&text::asset(asset.id, lang), &regular);
            }
            for state in [State::Live, State::Delayed, State::Stale, State::Halted, State::Unknown] {
                assert_has(text::state(state, lang), &regular);
            }
            for quote in ["KRW", "USDT", "JPY", "USD"] {
                assert_has(text::unit(quote, lang), &both);
            }
        }
        // What a refusal says.
        let module = include_str!("mod.rs");
        let words = module.lines().filter(|line| line.contains("=> lang.pick(")).flat_map(|line| line.split('"'));
        let words: Vec<_> = words.filter(|word| word.chars().all(|c| !"(>".contains(c))).collect();
        assert!(words.len() >= 6, "{words:?}");
        words.into_iter().for_each(|word| assert_has(word, &regular));
    }
}
