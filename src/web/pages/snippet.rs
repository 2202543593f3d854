//! What a site owner copies to bring a widget to a page: one snippet a way of embedding.

use super::super::script;
use super::choice::{Choice, Widget};
use super::link::Link;
use super::options::Options;
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
    /// In pixels, for readers whose text is of the usual size.
    pub height: u32,
    /// What the widget is called by a screen reader.
    pub title: String,
    /// The language of titles and notes.
    pub lang: Lang,
}

impl Wish<'_> {
    /// Returns all snippets, the usual one first.
    pub fn snippets(&self) -> Vec<Snippet> {
        let mut all = vec![self.element(), self.iframe(), self.include(), self.press(), self.react()];
        all.extend(self.image());
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
        let (href, title) = (escape(&self.embed()), escape(&self.title));
        format!("<sisepan-{name}{attributes}><a href=\"{href}\">{title}</a></sisepan-{name}>")
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
        let height = self.height;
        Snippet {
            id: "iframe",
            title: "iframe",
            note: self.lang.pick(
                "글 안에 script를 쓸 수 없는 곳에. 페이지 어딘가에 sisepan.js도 있으면 높이와 테마가 저절로 맞습니다.",
                "Where an article can't hold a script. With sisepan.js anywhere on the page, height and theme fit by themselves.",
                "記事にscriptを書けない場所に。ページにsisepan.jsもあれば、高さとテーマが自動で合います。",
            ),
            code: format!(
                "<iframe src=\"{src}\" title=\"{title}\" width=\"100%\" height=\"{height}\" loading=\"lazy\" \
                 sandbox=\"allow-scripts{leave}\" style=\"border:0\"></iframe>"
            ),
        }
    }

    fn include(&self) -> Snippet {
        let (name, query, home) = (self.widget.word(), self.query(), escape(self.home));
        let path = escape(&format!("/prices/fragment/{name}{query}"));
        let whole = escape(&format!("{}/fragment/{name}{query}", self.home));
        Snippet {
            id: "include",
            title: self.lang.pick("서버에서 끼우기", "Server-side include", "サーバーで挿入"),
            note: self.lang.pick(
                "처음부터 HTML에 가격이 들어 있습니다. /prices는 이 서버를 프록시한 경로입니다. nginx는 SSI, Varnish나 CDN은 ESI를 쓰세요.",
                "Prices stand in the HTML from the start. /prices is where you proxy this server. SSI for nginx, ESI for Varnish or a CDN.",
                "最初からHTMLに価格が入ります。/pricesはこのサーバーを中継するパスです。nginxはSSI、VarnishやCDNはESIを。",
            ),
            code: format!(
                "<link rel=\"stylesheet\" href=\"{home}/sisepan.css\">\n\
                 <script type=\"module\" src=\"{home}/sisepan.js\"></script>\n\
                 <!--# include virtual=\"{path}\" -->\n\n\
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
                   return <sisepan-{name}{attributes} />;\n\
                 }}",
                script = quoted(&format!("{}/sisepan.js", self.home)),
            ),
        }
    }

    /// A picture of a market; none where no market is meant.
    fn image(&self) -> Option<Snippet> {
        let market = &self.options.picks.first()?.market;
        let path: String = url::form_urlencoded::byte_serialize(market.as_str().as_bytes()).collect();
        let look = ["basis", "lang", "theme", "colors"];
        let pairs = self.pairs.iter().filter(|(name, _)| look.contains(&name.as_str()));
        let written = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let query = if written.is_empty() { written } else { format!("?{written}") };
        let (src, page) = (format!("{}/badge/{path}.svg{query}", self.home), format!("{}/market/{path}", self.home));
        let alt = market.as_str();
        Some(Snippet {
            id: "image",
            title: self.lang.pick("그림", "Image", "画像"),
            note: self.lang.pick(
                "script도 iframe도 안 되는 곳에: README, 메일, AMP. HTML과 Markdown입니다.",
                "Where neither script nor frames are allowed: a README, a mail, AMP. As HTML and as Markdown.",
                "scriptもiframeも使えない場所に: README、メール、AMP。HTMLとMarkdownです。",
            ),
            code: format!(
                "<a href=\"{}\"><img src=\"{}\" alt=\"{alt}\"></a>\n\n[![{alt}]({src})]({page})",
                escape(&page),
                escape(&src),
            ),
        })
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
