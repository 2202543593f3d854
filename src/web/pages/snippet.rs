//! What a site owner copies to bring a widget to a page: one snippet a way of embedding.

use url::Url;

use super::super::script;
use super::badge;
use super::choice::{Choice, Size, Theme, Widget};
use super::height::{self, Reserve};
use super::link::Link;
use super::options::Options;
use crate::domain::Market;
use crate::text::Lang;

/// A piece of code with what it is for.
#[derive(Debug)]
pub struct Snippet {
    /// Stable: a part of the element's id in the page.
    pub id: &'static str,
    pub title: &'static str,
    pub note: &'static str,
    /// Plain text: whoever shows it in HTML escapes it once more.
    pub code: String,
}

/// What a snippet is made from.
pub struct Wish<'a> {
    /// Where readers find this server, without a slash at the end.
    pub home: &'a str,
    pub widget: Widget,
    pub options: &'a Options<'a>,
    /// The options that were chosen, in one spelling.
    pub pairs: Vec<(String, String)>,
    /// The room that it needs in the languages that it may be shown in, for readers whose text is of the usual size.
    pub reserve: Reserve,
    /// Length of a ticker in one line, in thousandths of its text's size.
    pub length: u32,
    /// Width of the picture of its first market, in pixels.
    pub picture: u32,
    /// Whether `public_url` is set: `/oembed` answers, and services of others can find this server.
    pub is_public: bool,
    /// What the widget is called by a screen reader.
    pub title: String,
    /// The language of titles and notes.
    pub lang: Lang,
}

impl Wish<'_> {
    /// Returns all snippets, the usual one first.
    pub fn snippets(&self) -> Vec<Snippet> {
        let mut all = vec![self.element(), self.iframe(), self.include(), self.edge()];
        all.extend(self.is_public.then(|| self.press()));
        all.push(self.react());
        all.extend(self.options.picks.first().into_iter().flat_map(|pick| self.pictures(&pick.market)));
        all.push(self.pinned());
        all
    }

    /// Returns the address of the widget's own page.
    pub fn embed(&self) -> String {
        format!("{}/embed/{}{}", self.home, self.widget.word(), self.query())
    }

    /// Returns the query, with its question mark, or nothing.
    pub fn query(&self) -> String {
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.pairs).finish();
        if written.is_empty() { written } else { format!("?{}", written.replace("%2C", ",")) }
    }

    /// Returns the element with its attributes. What stands inside is for readers whom the script does not reach.
    fn tag(&self) -> String {
        let name = self.widget.word();
        let attributes: String =
            self.pairs.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(value))).collect();
        let (href, title, style) = (escape(&self.embed()), escape(&self.title), css(&self.style()));
        let tag =
            format!("<sisepan-{name}{attributes} style=\"{style}\"><a href=\"{href}\">{title}</a></sisepan-{name}>");
        match self.held() {
            // A line break would be a space in the sentence.
            Some((held @ "span", style)) => format!("<{held} style=\"{}\">{tag}</{held}>", css(&style)),
            Some((held, style)) => format!("<{held} style=\"{}\">\n{tag}\n</{held}>", css(&style)),
            None => tag,
        }
    }

    /// Returns what keeps the room of an element before its script has run, as properties of CSS.
    fn style(&self) -> Vec<(&'static str, String)> {
        let size = self.options.size_of(self.widget);
        let scaled = |px: u32| self.scaled(px);
        let bare = |px: u32| px.saturating_sub(height::AROUND);
        if self.widget != Widget::Ticker {
            let least = self.reserve.css(|px| scaled(bare(px)), scaled);
            return vec![("display", "block".to_owned()), ("min-height", least)];
        }
        // Lines as high as those of the widget, in the text size that it will have.
        let lines = |px: u32| format!("{}lh", (bare(px) / height::ticker_line_px(size)).max(1));
        let mut style = vec![("display", "block".to_owned()), ("min-height", self.reserve.css(lines, scaled))];
        if size != Size::Inherit {
            style.push(("font-size", format!("calc({}rem/16)", height::text_px(size))));
        }
        style
    }

    /// Writes a length in the reader's own text size, which a widget follows.
    fn scaled(&self, px: u32) -> String {
        let unit = if self.options.size_of(self.widget) == Size::Inherit { "em" } else { "rem" };
        let tenths = (px * 10).div_ceil(16);
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }

    /// Returns the tag and the style of the box around an element, which tells it the width that its height depends on.
    fn held(&self) -> Option<(&'static str, Vec<(&'static str, String)>)> {
        let measured = ("container-type", "inline-size".to_owned());
        // One market is a word in a sentence: as long as it needs, and a line further where that is too long.
        if self.widget == Widget::Ticker && self.options.picks.len() < 2 {
            let length = self.length * height::text_px(self.options.size_of(self.widget)) / 1000;
            let one_line = self.reserve.steps.first().map_or(0, |(below, _)| *below);
            // Browsers round: a box exactly as wide as a line needs might be taken for a narrower one.
            let width = format!("min(100%,{})", self.scaled(length.max(one_line) + 2));
            let word = [("display", "inline-block".to_owned()), ("width", width), ("vertical-align", "top".to_owned())];
            return Some(("span", word.into_iter().chain([measured]).collect()));
        }
        (!self.reserve.steps.is_empty()).then(|| ("div", vec![measured]))
    }

    fn element(&self) -> Snippet {
        let script = format!("<script type=\"module\" src=\"{}/sisepan.js\"></script>", escape(self.home));
        Snippet {
            id: "element",
            title: self.lang.pick("요소", "Element", "要素"),
            note: self.lang.pick(
                "가장 좋은 방법입니다. 스크립트는 한 페이지에 한 번이면 됩니다.",
                "The best way. The script is needed once a page, for any number of widgets.",
                "いちばん良い方法です。スクリプトは1ページに1度で足ります。",
            ),
            code: format!("{script}\n{}", self.tag()),
        }
    }

    fn iframe(&self) -> Snippet {
        // A link must be able to leave the frame; nothing else may.
        let leave = if self.options.link == Link::Off { "" } else { " allow-top-navigation-by-user-activation" };
        let (src, title) = (escape(&self.embed()), escape(&self.title));
        let (px, most) = (|px: u32| format!("{px}px"), self.reserve.most());
        // Below some widths it is higher; a page that takes no style gets the largest height.
        let high =
            if self.reserve.steps.is_empty() { String::new() } else { format!(";height:{}", self.reserve.css(px, px)) };
        // The page behind shows through only where both are of one scheme.
        let scheme = match self.options.theme {
            Theme::Light | Theme::Dark if self.options.transparent => {
                format!(";color-scheme:{}", self.options.theme.word())
            }
            _ => String::new(),
        };
        let frame = format!(
            "<iframe src=\"{src}\" title=\"{title}\" width=\"100%\" height=\"{most}\" loading=\"lazy\" \
             sandbox=\"allow-scripts{leave}\" style=\"border:0{high}{scheme}\"></iframe>"
        );
        Snippet {
            id: "iframe",
            title: "iframe",
            note: self.lang.pick(
                "글 안에 script를 쓸 수 없는 곳에. 페이지 어딘가에 sisepan.js도 있으면 높이와 테마가 저절로 맞습니다.",
                "Where an article can't hold a script. With sisepan.js anywhere on the page, height and theme fit by themselves.",
                "記事にscriptを書けない場所に。ページにsisepan.jsもあれば、高さとテーマが自動で合います。",
            ),
            code: if self.reserve.steps.is_empty() {
                frame
            } else {
                format!("<div style=\"container-type:inline-size\">\n{frame}\n</div>")
            },
        }
    }

    /// The path of a fragment on the site that this server is a part of.
    fn fragment(&self) -> String {
        let path = Url::parse(self.home).map_or_else(|_| self.home.to_owned(), |home| home.path().to_owned());
        format!("{}/fragment/{}{}", path.trim_end_matches('/'), self.widget.word(), self.query())
    }

    fn include(&self) -> Snippet {
        let home = escape(self.home);
        // Neither server reads this as HTML: an ampersand stands as it is. Apache takes no space before the word.
        let path = self.fragment();
        Snippet {
            id: "include",
            title: self.lang.pick("서버에서 끼우기(SSI)", "Server-side include", "サーバーで挿入 (SSI)"),
            note: self.lang.pick(
                "처음부터 HTML에 가격이 들어 있습니다. nginx(ssi on)와 Apache(Options +Includes)에서, 이 경로를 프록시한 사이트에 씁니다.",
                "Prices stand in the HTML from the start. For nginx (ssi on) and Apache (Options +Includes), on a site that proxies this path.",
                "最初からHTMLに価格が入ります。nginx（ssi on）とApache（Options +Includes）で、このパスを中継するサイトに。",
            ),
            code: format!(
                "<link rel=\"stylesheet\" href=\"{home}/sisepan.css\">\n\
                 <script type=\"module\" src=\"{home}/sisepan.js\"></script>\n\
                 <!--#include virtual=\"{path}\" -->"
            ),
        }
    }

    fn edge(&self) -> Snippet {
        let home = escape(self.home);
        let whole = escape(&format!("{}/fragment/{}{}", self.home, self.widget.word(), self.query()));
        Snippet {
            id: "esi",
            title: self.lang.pick("CDN에서 끼우기(ESI)", "Edge-side include", "CDNで挿入 (ESI)"),
            note: self.lang.pick(
                "같은 방법을 Varnish나 CDN에서.",
                "The same in Varnish or a CDN.",
                "同じことをVarnishやCDNで。",
            ),
            code: format!(
                "<link rel=\"stylesheet\" href=\"{home}/sisepan.css\">\n\
                 <script type=\"module\" src=\"{home}/sisepan.js\"></script>\n\
                 <esi:include src=\"{whole}\" onerror=\"continue\"/>"
            ),
        }
    }

    fn press(&self) -> Snippet {
        Snippet {
            id: "wordpress",
            title: "WordPress",
            note: self.lang.pick(
                "주소만 한 줄에 붙여 넣으면 됩니다(oEmbed). 두 번째 줄은 테마의 functions.php에 한 번만.",
                "Paste the address on a line of its own (oEmbed). The second line once, in the theme's functions.php.",
                "アドレスだけを1行に貼ります（oEmbed）。2行目はテーマのfunctions.phpに1度だけ。",
            ),
            code: format!(
                "{}\n\nwp_oembed_add_provider( '{home}/*', '{home}/oembed' );",
                self.embed(),
                home = self.home
            ),
        }
    }

    fn react(&self) -> Snippet {
        let name = self.widget.word();
        let attributes: String = self.pairs.iter().map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
        let tag = format!("<sisepan-{name}{attributes} style={{{{ {} }}}} />", jsx(&self.style()));
        let tag = match self.held() {
            Some((held, style)) => {
                format!("(\n    <{held} style={{{{ {} }}}}>\n      {tag}\n    </{held}>\n  )", jsx(&style))
            }
            None => tag,
        };
        Snippet {
            id: "react",
            title: "React",
            note: self.lang.pick(
                "서버 렌더링에서도 됩니다. 타입은 sisepan.d.ts에 있습니다.",
                "Works with server rendering as well. Types are in sisepan.d.ts.",
                "サーバー描画でも動きます。型はsisepan.d.tsにあります。",
            ),
            code: format!(
                "import {{ useEffect }} from 'react';\n\n\
                 const SCRIPT = {script};\n\n\
                 export function Prices() {{\n  \
                   useEffect(() => {{\n    \
                     import(/* webpackIgnore: true */ /* @vite-ignore */ SCRIPT);\n  \
                   }}, []);\n  \
                   return {tag};\n\
                 }}",
                script = quoted(&format!("{}/sisepan.js", self.home)),
            ),
        }
    }

    /// Pictures of a market: for pages, for mail, and for README files in the style of shields.io.
    fn pictures(&self, market: &Market) -> Vec<Snippet> {
        let path: String = url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect();
        let look = ["basis", "lang", "theme", "colors"];
        let pairs: Vec<_> = self.pairs.iter().filter(|(name, _)| look.contains(&name.as_str())).collect();
        let badge = |form: &str, lang: Option<Lang>| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(pairs.iter().copied());
            if let Some(lang) = lang.filter(|_| !pairs.iter().any(|(name, _)| name == "lang")) {
                query.append_pair("lang", lang.as_str());
            }
            let query = query.finish();
            let mark = if query.is_empty() { "" } else { "?" };
            format!("{}/badge/{path}.{form}{mark}{query}", self.home)
        };
        let page = format!("{}/market/{path}", self.home);
        let (alt, width, height) = (escape(market.as_str()), self.picture, badge::HEIGHT);
        let tag = |src: &str| {
            let (page, src) = (escape(&page), escape(src));
            format!("<a href=\"{page}\"><img src=\"{src}\" alt=\"{alt}\" width=\"{width}\" height=\"{height}\"></a>")
        };
        let image = Snippet {
            id: "image",
            title: self.lang.pick("그림", "Image", "画像"),
            note: self.lang.pick(
                "script도 iframe도 안 되는 곳에: README, AMP. Markdown에도 이대로 넣습니다.",
                "Where neither scripts nor frames are allowed: a README, AMP. Markdown takes it as it is.",
                "scriptもiframeも使えない場所に: README、AMP。Markdownにもこのまま入ります。",
            ),
            code: tag(&badge("svg", None)),
        };
        // What fetches pictures for a mail program tells no language.
        let mail = Snippet {
            id: "mail",
            title: self.lang.pick("메일(PNG)", "Mail (PNG)", "メール (PNG)"),
            note: self.lang.pick(
                "대부분의 메일 프로그램은 SVG를 표시하지 않습니다. PNG는 고해상도 화면을 위해 두 배 크기로 그립니다.",
                "Most mail programs show no SVG. The PNG is drawn at twice its size, for high-density screens.",
                "多くのメールソフトはSVGを表示しません。PNGは高解像度画面用に2倍の大きさで描きます。",
            ),
            code: tag(&badge("png", Some(self.options.lang))),
        };
        let source: String =
            url::form_urlencoded::byte_serialize(badge("json", Some(self.options.lang)).as_bytes()).collect();
        let shields = Snippet {
            id: "shields",
            title: "shields.io",
            note: self.lang.pick(
                "README의 다른 배지와 같은 모양으로. shields.io가 이 서버에 접속해 그립니다.",
                "In the style of a README's other badges. shields.io fetches the figures from this server.",
                "READMEのほかのバッジと同じ見た目に。shields.ioがこのサーバーから取得して描きます。",
            ),
            code: format!("[![{market}](https://img.shields.io/endpoint?url={source})]({page})"),
        };
        // It asks over HTTPS only.
        let is_reachable = self.is_public && self.home.starts_with("https://");
        [image, mail].into_iter().chain(is_reachable.then_some(shields)).collect()
    }

    fn pinned(&self) -> Snippet {
        let home = escape(self.home);
        let code = script::pinned().map_or_else(String::new, |script| {
            let modules: String = script
                .modules
                .iter()
                .map(|module| {
                    format!(
                        "<link rel=\"modulepreload\" href=\"{home}/{}\" integrity=\"{}\" crossorigin>\n",
                        module.file, module.integrity
                    )
                })
                .collect();
            let script = format!(
                "<script type=\"module\" src=\"{home}/{}\" integrity=\"{}\" crossorigin></script>\n",
                script.file, script.integrity
            );
            format!(
                "{script}{}\n\n<!-- {} -->\n{modules}",
                self.tag(),
                self.lang.pick(
                    "필요할 때만 부르는 모듈까지 고정하려면 그 앞에:",
                    "To pin what is loaded on demand as well, before it:",
                    "必要時に読むモジュールも固定するなら、その前に:"
                )
            )
        });
        Snippet {
            id: "pinned",
            title: self.lang.pick("무결성 고정", "Pinned with integrity", "整合性の固定"),
            note: self.lang.pick(
                "이 판의 스크립트만 실행됩니다. 서버를 올리면 다시 복사하세요. 그때까지는 안의 링크가 보입니다.",
                "Only this version of the script will run. Copy it again after an upgrade of the server; until then the link inside is shown.",
                "この版のスクリプトだけが動きます。サーバーを更新したら写し直してください。それまでは中のリンクが出ます。",
            ),
            code: code.trim_end().to_owned(),
        }
    }
}

/// Writes properties of CSS as a `style` attribute of HTML.
fn css(style: &[(&str, String)]) -> String {
    style.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(";")
}

/// Writes properties of CSS as React names them: `min-height` is `minHeight`.
fn jsx(style: &[(&str, String)]) -> String {
    let property = |(name, value): &(&str, String)| {
        let mut words = name.split('-');
        let first = words.next().unwrap_or_default().to_owned();
        let name = words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(1);
            name + &initial.to_uppercase() + rest
        });
        format!("{name}: \"{value}\"")
    };
    style.iter().map(property).collect::<Vec<_>>().join(", ")
}

/// Writes a text into an attribute of HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writes a text as a literal of JavaScript that may stand in JSX as well.
fn quoted(text: &str) -> String {
    let plain =
        text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>' | '&' | '\'' | '{' | '}'));
    if plain { format!("\"{text}\"") } else { format!("{{{}}}", serde_json::Value::from(text)) }
}
