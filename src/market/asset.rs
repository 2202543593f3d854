//! Names of assets in Korean, English and Japanese.
//!
//! The ids are those used in market names. A renamed coin is listed under both ids for as long as any venue
//! lists the old one.

/// The names of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asset {
    /// The id, as in a market name: `BTC`.
    pub id: &'static str,
    /// Korean name.
    pub ko: &'static str,
    /// English name.
    pub en: &'static str,
    /// Japanese name.
    pub ja: &'static str,
}

/// Returns the names of an asset, if it is in the table.
pub fn find(id: &str) -> Option<&'static Asset> {
    ALL.binary_search_by(|asset| asset.id.cmp(id)).ok().map(|at| &ALL[at])
}

const fn asset(id: &'static str, ko: &'static str, en: &'static str, ja: &'static str) -> Asset {
    Asset { id, ko, en, ja }
}

/// All assets with known names, sorted by id.
pub const ALL: &[Asset] = &[
    asset("1INCH", "1인치네트워크", "1inch", "1inch"),
    asset("A", "볼타", "Vaulta", "Vaulta"),
    asset("AAVE", "에이브", "Aave", "アーベ"),
    asset("ADA", "에이다", "Cardano", "エイダ"),
    asset("ALGO", "알고랜드", "Algorand", "アルゴランド"),
    asset("APE", "에이프코인", "ApeCoin", "エイプコイン"),
    asset("APT", "앱토스", "Aptos", "アプトス"),
    asset("ARB", "아비트럼", "Arbitrum", "アービトラム"),
    asset("ATOM", "코스모스", "Cosmos", "コスモス"),
    asset("AVAX", "아발란체", "Avalanche", "アバランチ"),
    asset("AXS", "엑시인피니티", "Axie Infinity", "アクシーインフィニティ"),
    asset("BAT", "베이직어텐션토큰", "Basic Attention Token", "ベーシックアテンショントークン"),
    asset("BCH", "비트코인 캐시", "Bitcoin Cash", "ビットコイン キャッシュ"),
    asset("BNB", "비앤비", "BNB", "BNB"),
    asset("BONK", "봉크", "Bonk", "ボンク"),
    asset("BSV", "비트코인에스브이", "Bitcoin SV", "ビットコインSV"),
    asset("BTC", "비트코인", "Bitcoin", "ビットコイン"),
    asset("CHZ", "칠리즈", "Chiliz", "チリーズ"),
    asset("CRO", "크로노스", "Cronos", "クロノス"),
    asset("CRV", "커브", "Curve", "カーブ"),
    asset("DOGE", "도지코인", "Dogecoin", "ドージコイン"),
    asset("DOT", "폴카닷", "Polkadot", "ポルカドット"),
    asset("EGLD", "멀티버스엑스", "MultiversX", "マルチバースX"),
    asset("ENA", "에테나", "Ethena", "エセナ"),
    asset("EOS", "이오스", "EOS", "イオス"),
    asset("ETC", "이더리움 클래식", "Ethereum Classic", "イーサリアムクラシック"),
    asset("ETH", "이더리움", "Ethereum", "イーサリアム"),
    asset("FET", "페치", "Artificial Superintelligence Alliance", "フェッチ"),
    asset("FIL", "파일코인", "Filecoin", "ファイルコイン"),
    asset("FLOKI", "플로키", "Floki", "フロキ"),
    asset("FLOW", "플로우", "Flow", "フロー"),
    asset("GALA", "갈라", "Gala", "ガラ"),
    asset("GRAM", "그램", "Gram", "グラム"),
    asset("GRT", "더그래프", "The Graph", "ザ・グラフ"),
    asset("HBAR", "헤데라", "Hedera", "ヘデラ"),
    asset("HYPE", "하이퍼리퀴드", "Hyperliquid", "ハイパーリキッド"),
    asset("ICP", "인터넷컴퓨터", "Internet Computer", "インターネットコンピューター"),
    asset("IMX", "이뮤터블엑스", "Immutable", "イミュータブル"),
    asset("INJ", "인젝티브", "Injective", "インジェクティブ"),
    asset("IOTA", "아이오타", "IOTA", "アイオタ"),
    asset("JUP", "주피터", "Jupiter", "ジュピター"),
    asset("KAIA", "카이아", "Kaia", "カイア"),
    asset("KAS", "카스파", "Kaspa", "カスパ"),
    asset("LDO", "리도다오", "Lido DAO", "リドDAO"),
    asset("LINK", "체인링크", "Chainlink", "チェーンリンク"),
    asset("LTC", "라이트코인", "Litecoin", "ライトコイン"),
    asset("MANA", "디센트럴랜드", "Decentraland", "ディセントラランド"),
    asset("MKR", "메이커", "Maker", "メイカー"),
    asset("NEAR", "니어프로토콜", "NEAR Protocol", "ニアプロトコル"),
    asset("NEO", "네오", "Neo", "ネオ"),
    asset("ONDO", "온도파이낸스", "Ondo", "オンド"),
    asset("OP", "옵티미즘", "Optimism", "オプティミズム"),
    asset("PENDLE", "펜들", "Pendle", "ペンドル"),
    asset("PEPE", "페페", "Pepe", "ペペ"),
    asset("POL", "폴리곤에코시스템토큰", "Polygon", "ポリゴン"),
    asset("QTUM", "퀀텀", "Qtum", "クアンタム"),
    asset("RENDER", "렌더토큰", "Render", "レンダー"),
    asset("S", "소닉", "Sonic", "ソニック"),
    asset("SAND", "샌드박스", "The Sandbox", "サンドボックス"),
    asset("SEI", "세이", "Sei", "セイ"),
    asset("SHIB", "시바이누", "Shiba Inu", "シバイヌ"),
    asset("SOL", "솔라나", "Solana", "ソラナ"),
    asset("STX", "스택스", "Stacks", "スタックス"),
    asset("SUI", "수이", "Sui", "スイ"),
    asset("TAO", "비트텐서", "Bittensor", "ビットテンソル"),
    asset("THETA", "쎄타토큰", "Theta Network", "シータ"),
    asset("TIA", "셀레스티아", "Celestia", "セレスティア"),
    asset("TON", "톤코인", "Toncoin", "トンコイン"),
    asset("TRUMP", "오피셜트럼프", "Official Trump", "オフィシャルトランプ"),
    asset("TRX", "트론", "TRON", "トロン"),
    asset("UNI", "유니스왑", "Uniswap", "ユニスワップ"),
    asset("USDC", "유에스디코인", "USD Coin", "USDコイン"),
    asset("USDT", "테더", "Tether", "テザー"),
    asset("VET", "비체인", "VeChain", "ヴィチェーン"),
    asset("WIF", "도그위프햇", "dogwifhat", "ドッグウィフハット"),
    asset("WLD", "월드코인", "Worldcoin", "ワールドコイン"),
    asset("XLM", "스텔라루멘", "Stellar Lumens", "ステラルーメン"),
    asset("XMR", "모네로", "Monero", "モネロ"),
    asset("XRP", "리플", "XRP", "リップル"),
    asset("XTZ", "테조스", "Tezos", "テゾス"),
    asset("ZEC", "지캐시", "Zcash", "ジーキャッシュ"),
    asset("ZIL", "질리카", "Zilliqa", "ジリカ"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_sorted() {
        assert!(ALL.windows(2).all(|pair| pair[0].id < pair[1].id));
    }

    #[test]
    fn names_are_trimmed_and_not_empty() {
        for asset in ALL {
            for text in [asset.id, asset.ko, asset.en, asset.ja] {
                assert!(!text.is_empty() && text.trim() == text, "{asset:?}");
            }
            assert!(asset.id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()), "{asset:?}");
        }
    }

    #[test]
    fn an_asset_is_found_by_its_id_only() {
        for asset in ALL {
            assert_eq!(find(asset.id), Some(asset));
        }
        for id in ["", "btc", "BTCX", "ZZZ", "비트코인"] {
            assert_eq!(find(id), None);
        }
    }

    #[test]
    fn the_default_board_has_the_familiar_korean_names() {
        let names = ["BTC", "ETH", "BCH", "XRP", "SOL", "ADA", "TRX", "XLM", "BSV", "LINK", "SAND"]
            .map(|id| find(id).unwrap().ko);
        let known = [
            "비트코인",
            "이더리움",
            "비트코인 캐시",
            "리플",
            "솔라나",
            "에이다",
            "트론",
            "스텔라루멘",
            "비트코인에스브이",
            "체인링크",
            "샌드박스",
        ];
        assert_eq!(names, known);
    }

    /// 50 of the coins with the largest turnover in KRW and USDT in 2025 and 2026, plus those of the default
    /// board.
    #[test]
    fn the_most_traded_coins_have_names() {
        let traded = "BTC ETH USDT XRP SOL BNB USDC DOGE TRX ADA LINK XLM BCH SUI AVAX HBAR LTC SHIB DOT UNI AAVE NEAR ETC \
             APT ATOM ARB OP FIL POL KAIA SAND BSV SEI WLD ONDO ENA PEPE BONK TRUMP GRT INJ IMX STX TIA ALGO FET RENDER \
             XTZ EOS MANA AXS GRAM TON HYPE";
        let missing: Vec<&str> = traded.split_whitespace().filter(|id| find(id).is_none()).collect();
        assert!(missing.is_empty() && traded.split_whitespace().count() >= 50, "{missing:?}");
    }
}
