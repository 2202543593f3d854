//! The code that a site owner copies to embed a widget: one snippet for each way of embedding.

use url::Url;

use crate::locale::Lang;
use crate::market::Market;
use crate::options::{Link, Size, Theme, Widget};
use crate::web::routes::assets::pinned;
use crate::widgets::badge;
use crate::widgets::height::{self, ReservedHeight};
use crate::widgets::widget_options::Options;

/// A snippet with its title and description.
#[derive(Debug)]
pub struct Snippet {
    /// Identifier, part of the id of the element in the page; must not change.
    pub id: &'static str,
    pub title: &'static str,
    pub note: &'static str,
    /// The code as plain text; it is escaped again to be displayed in HTML.
    pub code: String,
}

/// The input of the snippets.
pub struct SnippetInput<'a> {
    /// Public base URL of this server, without a trailing slash.
    pub base_url: &'a str,
    pub widget: Widget,
    pub options: &'a Options<'a>,
    /// The chosen options in canonical form.
    pub query_pairs: Vec<(String, String)>,
    /// The height to reserve, over all languages in which the widget may be shown, at the default font size.
    pub reserved_height: ReservedHeight,
    /// Width of a ticker on one line, in thousandths of an em.
    pub ticker_width: u32,
    /// Width of the badge of the first market, in pixels.
    pub badge_width_px: u32,
    /// Whether `public_url` is set, which oEmbed and shields.io need.
    pub is_public: bool,
    /// Accessible name of the widget.
    pub title: String,
    /// Language of titles and notes.
    pub lang: Lang,
}

impl SnippetInput<'_> {
    /// Returns all snippets, the recommended one first.
    pub fn snippets(&self) -> Vec<Snippet> {
        let mut all = vec![self.element(), self.iframe(), self.include(), self.edge()];
        all.extend(self.is_public.then(|| self.wordpress()));
        all.push(self.react());
        all.extend(self.options.picks.first().into_iter().flat_map(|pick| self.pictures(&pick.market)));
        all.push(self.pinned());
        all
    }

    /// Returns the URL of the widget's embed page.
    pub fn embed(&self) -> String {
        format!("{}/embed/{}{}", self.base_url, self.widget.keyword(), self.query())
    }

    /// Returns the query with its question mark; empty without options.
    pub fn query(&self) -> String {
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.query_pairs).finish();
        if written.is_empty() { written } else { format!("?{}", written.replace("%2C", ",")) }
    }

    /// Returns the custom element with its attributes; the link inside is the fallback without script.
    fn tag(&self) -> String {
        let name = self.widget.keyword();
        let attributes: String =
            self.query_pairs.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(value))).collect();
        let (href, title, style) = (escape(&self.embed()), escape(&self.title), css(&self.style()));
        let tag =
            format!("<sisepan-{name}{attributes} style=\"{style}\"><a href=\"{href}\">{title}</a></sisepan-{name}>");
        match self.container() {
            // A line break would be a space in the sentence.
            Some((outer @ "span", style)) => format!("<{outer} style=\"{}\">{tag}</{outer}>", css(&style)),
            Some((outer, style)) => format!("<{outer} style=\"{}\">\n{tag}\n</{outer}>", css(&style)),
            None => tag,
        }
    }

    /// Returns the CSS properties that reserve the height of an element before its script has run.
    fn style(&self) -> Vec<(&'static str, String)> {
        let size = self.options.size_of(self.widget);
        let scaled = |px: u32| self.scaled(px);
        // An element has no padding, unlike the embed page.
        let bare = |px: u32| px.saturating_sub(height::PADDING_Y);
        if self.widget != Widget::Ticker {
            let min_height = self.reserved_height.css(|px| scaled(bare(px)), scaled);
            return vec![("display", "block".to_owned()), ("min-height", min_height)];
        }
        // The unit `lh` needs the line height and font size of the widget.
        let lines = |px: u32| format!("{}lh", (bare(px) / height::ticker_line_px(size)).max(1));
        let mut style = vec![("display", "block".to_owned()), ("min-height", self.reserved_height.css(lines, scaled))];
        if size != Size::Inherit {
            style.push(("font-size", format!("calc({}rem/16)", height::text_px(size))));
        }
        style
    }

    /// Formats a length relative to the font size, which a widget follows: in rem, or in em if the size is inherited.
    fn scaled(&self, px: u32) -> String {
        let unit = if self.options.size_of(self.widget) == Size::Inherit { "em" } else { "rem" };
        let tenths = (px * 10).div_ceil(16);
        format!("{}.{}{unit}", tenths / 10, tenths % 10)
    }

    /// Returns tag and style of the container around an element, if its height depends on its width.
    fn container(&self) -> Option<(&'static str, Vec<(&'static str, String)>)> {
        let measured = ("container-type", "inline-size".to_owned());
        // A single market is an inline box in a sentence, as wide as its text or as the line.
        if self.widget == Widget::Ticker && self.options.picks.len() < 2 {
            let length = self.ticker_width * height::text_px(self.options.size_of(self.widget)) / 1000;
            let one_line = self.reserved_height.steps.first().map_or(0, |(below, _)| *below);
            // 2 px more than needed, since rounding in browsers could make the box too narrow.
            let width = format!("min(100%,{})", self.scaled(length.max(one_line) + 2));
            let span = [("display", "inline-block".to_owned()), ("width", width), ("vertical-align", "top".to_owned())];
            return Some(("span", span.into_iter().chain([measured]).collect()));
        }
        (!self.reserved_height.steps.is_empty()).then(|| ("div", vec![measured]))
    }

    fn element(&self) -> Snippet {
        let script = format!("<script type=\"module\" src=\"{}/sisepan.js\"></script>", escape(self.base_url));
        Snippet {
            id: "element",
            title: self.lang.pick("HTML 요소", "HTML element", "HTML要素"),
            note: self.lang.pick(
                "권장하는 방법입니다. 스크립트는 페이지마다 한 번만 넣으면 됩니다.",
                "Recommended. Include the script once per page, for any number of widgets.",
                "おすすめの方法です。スクリプトは1ページに1回だけ入れます。",
            ),
            code: format!("{script}\n{}", self.tag()),
        }
    }

    fn iframe(&self) -> Snippet {
        // Links may leave the iframe; nothing else is allowed.
        let leave =
            if self.options.values.link() == Link::Off { "" } else { " allow-top-navigation-by-user-activation" };
        let (src, title) = (escape(&self.embed()), escape(&self.title));
        let (px, max) = (|px: u32| format!("{px}px"), self.reserved_height.max());
        // Narrow iframes are higher; a page that removes the style attribute gets the largest height.
        let high = if self.reserved_height.steps.is_empty() {
            String::new()
        } else {
            format!(";height:{}", self.reserved_height.css(px, px))
        };
        // Transparency needs the same colour scheme inside and outside of the iframe.
        let scheme = match self.options.values.theme() {
            Theme::Light | Theme::Dark if self.options.values.transparent() => {
                format!(";color-scheme:{}", self.options.values.theme().keyword())
            }
            _ => String::new(),
        };
        let frame = format!(
            "<iframe src=\"{src}\" title=\"{title}\" width=\"100%\" height=\"{max}\" loading=\"lazy\" \
             sandbox=\"allow-scripts{leave}\" style=\"border:0{high}{scheme}\"></iframe>"
        );
        Snippet {
            id: "iframe",
            title: "iframe",
            note: self.lang.pick(
                "본문에 스크립트를 넣을 수 없는 곳에 사용합니다. 같은 페이지에 sisepan.js가 있으면 높이와 테마가 자동으로 맞춰집니다.",
                "For editors that do not allow scripts. If sisepan.js is loaded anywhere on the page, height and theme adjust automatically.",
                "本文にスクリプトを書けない場合に使います。ページでsisepan.jsを読み込むと、高さとテーマが自動で調整されます。",
            ),
            code: if self.reserved_height.steps.is_empty() {
                frame
            } else {
                format!("<div style=\"container-type:inline-size\">\n{frame}\n</div>")
            },
        }
    }

    /// Returns the path of the fragment on the site that proxies this server.
    fn fragment(&self) -> String {
        let path = Url::parse(self.base_url).map_or_else(|_| self.base_url.to_owned(), |home| home.path().to_owned());
        format!("{}/fragment/{}{}", path.trim_end_matches('/'), self.widget.keyword(), self.query())
    }

    fn include(&self) -> Snippet {
        let home = escape(self.base_url);
        // SSI directives are not HTML, so ampersands are not escaped. Apache accepts no space before `#include`.
        let path = self.fragment();
        Snippet {
            id: "include",
            title: self.lang.pick(
                "서버 사이드 인클루드(SSI)",
                "Server-side include (SSI)",
                "サーバーサイドインクルード（SSI）",
            ),
            note: self.lang.pick(
                "처음부터 HTML에 가격이 들어 있습니다. 이 경로를 프록시하는 사이트의 nginx(ssi on)나 Apache(Options +Includes)에서 사용합니다.",
                "Prices are in the HTML from the start. For nginx (ssi on) and Apache (Options +Includes), on a site that proxies this path.",
                "最初からHTMLに価格が入ります。このパスをプロキシするサイトのnginx（ssi on）やApache（Options +Includes）で使います。",
            ),
            code: format!(
                "<link rel=\"stylesheet\" href=\"{home}/sisepan.css\">\n\
                 <script type=\"module\" src=\"{home}/sisepan.js\"></script>\n\
                 <!--#include virtual=\"{path}\" -->"
            ),
        }
    }

    fn edge(&self) -> Snippet {
        let home = escape(self.base_url);
        let url = escape(&format!("{}/fragment/{}{}", self.base_url, self.widget.keyword(), self.query()));
        Snippet {
            id: "esi",
            title: self.lang.pick(
                "엣지 사이드 인클루드(ESI)",
                "Edge-side include (ESI)",
                "エッジサイドインクルード（ESI）",
            ),
            note: self.lang.pick(
                "Varnish나 CDN에서 같은 방식으로 사용합니다.",
                "The same for Varnish or a CDN.",
                "同じ方法をVarnishやCDNで使います。",
            ),
            code: format!(
                "<link rel=\"stylesheet\" href=\"{home}/sisepan.css\">\n\
                 <script type=\"module\" src=\"{home}/sisepan.js\"></script>\n\
                 <esi:include src=\"{url}\" onerror=\"continue\"/>"
            ),
        }
    }

    fn wordpress(&self) -> Snippet {
        Snippet {
            id: "wordpress",
            title: "WordPress",
            note: self.lang.pick(
                "주소만 한 줄에 붙여 넣으면 됩니다(oEmbed). 두 번째 줄은 테마의 functions.php에 한 번만 추가하세요.",
                "Paste the URL on a line of its own (oEmbed). Add the second line once, to the theme's functions.php.",
                "URLだけを1行に貼り付けます（oEmbed）。2行目はテーマのfunctions.phpに1回だけ追加します。",
            ),
            code: format!(
                "{}\n\nwp_oembed_add_provider( '{home}/*', '{home}/oembed' );",
                self.embed(),
                home = self.base_url
            ),
        }
    }

    fn react(&self) -> Snippet {
        let name = self.widget.keyword();
        let attributes: String =
            self.query_pairs.iter().map(|(name, value)| format!(" {name}={}", quoted(value))).collect();
        let tag = format!("<sisepan-{name}{attributes} style={{{{ {} }}}} />", jsx(&self.style()));
        let tag = match self.container() {
            Some((outer, style)) => {
                format!("(\n    <{outer} style={{{{ {} }}}}>\n      {tag}\n    </{outer}>\n  )", jsx(&style))
            }
            None => tag,
        };
        Snippet {
            id: "react",
            title: "React",
            note: self.lang.pick(
                "서버 사이드 렌더링에서도 동작합니다. 타입은 sisepan.d.ts에 있습니다.",
                "Works with server-side rendering too. Types are in sisepan.d.ts.",
                "サーバーサイドレンダリングでも動作します。型はsisepan.d.tsにあります。",
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
                script = quoted(&format!("{}/sisepan.js", self.base_url)),
            ),
        }
    }

    /// Returns the badge snippets: for web pages, for email, and for shields.io.
    fn pictures(&self, market: &Market) -> Vec<Snippet> {
        let path: String = url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect();
        let badge_options = ["basis", "lang", "theme", "colors"];
        let pairs: Vec<_> =
            self.query_pairs.iter().filter(|(name, _)| badge_options.contains(&name.as_str())).collect();
        let badge = |form: &str, lang: Option<Lang>| {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(pairs.iter().copied());
            if let Some(lang) = lang.filter(|_| !pairs.iter().any(|(name, _)| name == "lang")) {
                query.append_pair("lang", lang.as_str());
            }
            let query = query.finish();
            let separator = if query.is_empty() { "" } else { "?" };
            format!("{}/badge/{path}.{form}{separator}{query}", self.base_url)
        };
        let page = format!("{}/market/{path}", self.base_url);
        let (alt, width, height) = (escape(market.as_str()), self.badge_width_px, badge::HEIGHT);
        let tag = |src: &str| {
            let (page, src) = (escape(&page), escape(src));
            format!("<a href=\"{page}\"><img src=\"{src}\" alt=\"{alt}\" width=\"{width}\" height=\"{height}\"></a>")
        };
        let image = Snippet {
            id: "image",
            title: self.lang.pick("이미지", "Image", "画像"),
            note: self.lang.pick(
                "스크립트와 iframe을 쓸 수 없는 곳(README, AMP 등)에 사용합니다. Markdown에도 그대로 넣을 수 있습니다.",
                "Where neither scripts nor iframes are allowed, such as a README or AMP. Works in Markdown as it is.",
                "スクリプトもiframeも使えない場所（README、AMPなど）で使います。Markdownにもこのまま書けます。",
            ),
            code: tag(&badge("svg", None)),
        };
        // Image proxies of mail services send no preferred language.
        let mail = Snippet {
            id: "mail",
            title: self.lang.pick("이메일(PNG)", "Email (PNG)", "メール（PNG）"),
            note: self.lang.pick(
                "대부분의 메일 프로그램은 SVG를 표시하지 않습니다. PNG는 고해상도 화면에 맞춰 두 배 크기로 제공됩니다.",
                "Most email clients do not display SVG. The PNG has twice the resolution, for high-density screens.",
                "多くのメールソフトはSVGを表示しません。PNGは高解像度画面向けに2倍の解像度です。",
            ),
            code: tag(&badge("png", Some(self.options.lang))),
        };
        let source: String =
            url::form_urlencoded::byte_serialize(badge("json", Some(self.options.lang)).as_bytes()).collect();
        let shields = Snippet {
            id: "shields",
            title: "shields.io",
            note: self.lang.pick(
                "README의 다른 배지와 같은 모양입니다. shields.io가 이 서버에서 데이터를 가져와 그립니다.",
                "Matches the other badges of a README. shields.io fetches the data from this server.",
                "READMEのほかのバッジと同じ見た目になります。shields.ioがこのサーバーからデータを取得して描画します。",
            ),
            code: format!("[![{market}](https://img.shields.io/endpoint?url={source})]({page})"),
        };
        // shields.io only fetches HTTPS URLs.
        let is_reachable = self.is_public && self.base_url.starts_with("https://");
        [image, mail].into_iter().chain(is_reachable.then_some(shields)).collect()
    }

    fn pinned(&self) -> Snippet {
        let home = escape(self.base_url);
        let code = pinned().map_or_else(String::new, |script| {
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
                    "필요할 때 로드되는 모듈까지 고정하려면 그 앞에 넣으세요:",
                    "To pin the modules that are loaded on demand as well, put this before it:",
                    "必要時に読み込むモジュールも固定するには、その前に置きます:"
                )
            )
        });
        Snippet {
            id: "pinned",
            title: self.lang.pick("버전 고정(SRI)", "Pinned version (SRI)", "バージョン固定（SRI）"),
            note: self.lang.pick(
                "이 버전의 스크립트만 실행됩니다. 서버를 업데이트한 뒤에는 다시 복사하세요. 그때까지는 안의 링크가 표시됩니다.",
                "Only this version of the script runs. Copy the code again after a server update; until then, the link inside is shown.",
                "このバージョンのスクリプトだけが実行されます。サーバーを更新した後はコピーし直してください。それまでは中のリンクが表示されます。",
            ),
            code: code.trim_end().to_owned(),
        }
    }
}

/// Formats CSS properties as an HTML `style` attribute.
fn css(style: &[(&str, String)]) -> String {
    style.iter().map(|(name, value)| format!("{name}:{value}")).collect::<Vec<_>>().join(";")
}

/// Formats CSS properties with the names of React: `min-height` becomes `minHeight`.
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

/// Escapes a text for an HTML attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Quotes a text as the value of a JSX attribute; without special characters it is a JavaScript string literal as well.
fn quoted(text: &str) -> String {
    let plain =
        text.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '<' | '>' | '&' | '\'' | '{' | '}'));
    if plain { format!("\"{text}\"") } else { format!("{{{}}}", serde_json::Value::from(text)) }
}
