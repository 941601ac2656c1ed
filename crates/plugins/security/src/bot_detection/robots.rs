//! The robots known by name, and what robots' names look like.
//!
//! Names come from the public lists that user-agent parsers share. Some are parts of patterns; all are case-sensitive
//! and may stand anywhere in the text. Versions behind a name do not matter but where a name alone would be too common.

use std::sync::LazyLock;

use regex::bytes::{Regex, RegexBuilder};

/// Crawlers, feed readers, link checkers, previews.
const CRAWLERS: &[&str] = &[
    r"1470\.net crawler",
    r"50\.nu",
    "8bo Crawler Bot",
    "Aboundex",
    "Accoona-[A-z]+-Agent",
    "AdsBot-Google",
    "altavista",
    "AppEngine-Google",
    r"archive.*?\.org_bot",
    "archiver",
    "Ask Jeeves",
    "[Bb]ai[Dd]u[Ss]pider",
    "bingbot",
    "BingPreview",
    "blitzbot",
    "BlogBridge",
    "BoardReader",
    r"boitho\.com-dc",
    "BotSeer",
    "BUbiNG",
    r"\w*favicon\w*",
    r"\bYeti",
    "Catchpoint",
    "[Cc]harlotte",
    "Checklinks",
    "clumboot",
    r"Comodo HTTP\(S\) Crawler",
    "Comodo-Webinspector-Crawler",
    "ConveraCrawler",
    "CRAWL-E",
    "CrawlConvera",
    "Daumoa",
    "Discordbot",
    "Embedly",
    "Feed Seeker Bot",
    "Feedbin",
    "findlinks",
    "Flamingo_SearchEngine",
    "FollowSite Bot",
    "furlbot",
    "Genieo",
    "gigabot",
    "GomezAgent",
    "gonzo1",
    "Googlebot",
    "Google SketchUp",
    "grub-client",
    "gsa-crawler",
    "heritrix",
    "HiddenMarket",
    "holmes",
    "HooWWWer",
    "htdig",
    "HubSpot",
    "ia_archiver",
    "ICC-Crawler",
    "Icarus6j",
    "ichiro",
    "IconSurf",
    "IlTrovatore",
    "InfuzApp",
    "Innovazion Crawler",
    "InternetArchive",
    "IP2[a-z]+Bot",
    r"jbot\b",
    "KaloogaBot",
    "Kraken",
    "Kurzor",
    "larbin",
    "LEIA",
    "LesnikBot",
    "Linguee Bot",
    "LinkAider",
    "LinkedInBot",
    "Lite Bot",
    "Llaut",
    "lycos",
    r"Mail\.RU_Bot",
    "masidani_bot",
    "Mediapartners-Google",
    "Microsoft .*? Bot",
    "mogimogi",
    "mozDex",
    "MJ12bot",
    "msnbot",
    "msrbot",
    r"MtModBot",
    "netresearch",
    "Netvibes",
    "NewsGator",
    "^NING",
    "Nutch",
    "Nymesis",
    "ObjectsSearch",
    "Orbiter",
    "OOZBOT",
    "PagePeeker",
    "PagesInventory",
    "PaxleFramework",
    "Peeplo Screenshot Bot",
    "PHPCrawl",
    "PlantyNet_WebRobot",
    "Pompos",
    "Qwantify",
    "Read%20Later",
    "Reaper",
    "RedCarpet",
    "Retreiver",
    "Riddler",
    "Rival IQ",
    "scooter",
    "Scrapy",
    "Scrubby",
    "searchsight",
    "seekbot",
    "semanticdiscovery",
    "SemrushBot",
    "Simpy",
    "SimplePie",
    "SEOstats",
    "SimpleRSS",
    "SiteCon",
    "Slackbot",
    "Slack-ImgProxy",
    "Slurp",
    "snappy",
    "Speedy Spider",
    "Squrl Java",
    "Stringer",
    "TheUsefulbot",
    "ThumbShotsBot",
    r"Thumbshots\.ru",
    "Tiny Tiny RSS",
    "TwitterBot",
    "WhatsApp",
    "URL2PNG",
    "Vagabondo",
    "VoilaBot",
    "^vortex",
    "Votay bot",
    "^voyager",
    r"WASALive\.Bot",
    "Web-sniffer",
    "WebThumb",
    "WeSEE:[A-z]+",
    "WhatWeb",
    "WIRE",
    "WordPress",
    "Wotbox",
    r"www\.almaden\.ibm\.com",
    r"Xenu(?:.s)? Link Sleuth",
    "Xerka [A-z]+Bot",
    "yacy",
    "YahooSeeker",
    "Yahoo! Slurp",
    r"Yandex\w+",
    "YodaoBot",
    "YottaaMonitor",
    "Yowedo",
    "^Zao",
    r"ZeBot_www\.ze\.bz",
    "ZooShot",
    "ZyBorg",
];

/// Too common as words: only with a version behind a slash.
const VERSIONED: &[&str] = &[
    "008",
    "Altresium",
    "Argus",
    "BaiduMobaider",
    "BoardReader",
    "DNSGroup",
    "DataparkSearch",
    "EDI",
    "Goodzer",
    "Grub",
    "INGRID",
    "Infohelfer",
    "LinkedInBot",
    "LOOQ",
    "Nutch",
    "PathDefender",
    "Peew",
    "PostPost",
    "Steeler",
    "Twitterbot",
    "VSE",
    "WebCrunch",
    "WebZIP",
    "Y!J-BR[A-Z]",
    "YahooSeeker",
    "envolk",
    "sproose",
    "wminer",
    "facebookexternalhit",
    // Clients of Amazon's services.
    "[Bb]oto3?",
    "JetS3t",
    "aws-cli",
    "aws-sdk-(?:cpp|go|java|nodejs|ruby2?|dotnet-(?:[0-9]{1,2}|core))",
    "s3fs",
    // WebPageTest.
    "PTST",
];

/// Libraries that fetch for programs.
const LIBRARIES: &[&str] = &[
    "Google-HTTP-Java-Client",
    "Apache-HttpClient",
    "Go-http-client",
    "scalaj-http",
    "http%20client",
    "Python-urllib",
    "HttpMonitor",
    "TLSProber",
    "WinHTTP",
    "JNLP",
    "okhttp",
    "reqwest",
    "axios",
    "unirest-(?:java|python|ruby|nodejs|php|net)",
];

/// What names of robots look like.
const SHAPES: &[&str] = &[
    "Pingdom.com_bot_version_[0-9]",
    r"Google.*/\+/web/snippet",
    r"MSIE [0-9]+\.[0-9]+(?:[a-z][0-9]?)?;.* MSIECrawler",
    // `/name-0`
    r"/(?:(?:Ant-)?Nutch|[A-z]+[Bb]ot|[A-z]+[Ss]pider|Axtaris|fetchurl|Isara|ShopSalad|Tailsweep)[ \-][0-9]",
    // `name/0` and `name 0`
    "(?:[Aa]rchiver|[Ii]ndexer|[Ss]craper|[Bb]ot|[Ss]pider|[Cc]rawl[a-z]*)[/ ][0-9]",
    // Anything of the kind, but not the telephones called CUBOT.
    "(?i:spider)|(?i:crawl)|[Ss]crape|[^C][^Uu][Bb]ot",
];

/// All of it as one pattern, compiled once per process.
static ROBOTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let alternatives =
        [CRAWLERS.join("|"), LIBRARIES.join("|"), format!("(?:{})/[0-9]", VERSIONED.join("|")), SHAPES.join("|")];
    RegexBuilder::new(&alternatives.join("|")).unicode(false).build().ok()
});

/// Whether a User-Agent is one of a known robot, or looks like one.
pub fn is_robot(agent: &[u8]) -> bool {
    ROBOTS.as_ref().is_some_and(|robots| robots.is_match(agent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_compiles() {
        assert!(ROBOTS.is_some());
    }

    #[test]
    fn robots_are_known_by_name_or_shape() {
        for agent in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
            "Twitterbot/1.0",
            "Mozilla/5.0 (Windows NT 6.1; rv:6.0) Gecko/20110814 Firefox/6.0 Google (+https://developers.google.com/+/web/snippet/)",
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; MSIECrawler)",
            "Python-urllib/3.8",
            "Go-http-client/1.1",
            "okhttp/4.9",
            "axios/1.6.0",
            "Boto3/1.9 Python/3.6",
            "aws-sdk-nodejs/2.1",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "WhatsApp/2.19 A",
            "Scrapy/2.5",
            "my-archiver/1",
            "ACoolIndexer 3",
            "SOMESPIDER",
            "AWebCrawler",
        ] {
            assert!(is_robot(agent.as_bytes()), "{agent}");
        }
    }

    #[test]
    fn people_are_not_robots() {
        for agent in [
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/119.0",
            "Mozilla/5.0 (Linux; Android 7.0; CUBOT_X18) AppleWebKit/537.36 Chrome/62.0 Mobile Safari/537.36",
            "curl/8.4.0",
            "Wget/1.21",
            "Argus the giant",
            "",
        ] {
            assert!(!is_robot(agent.as_bytes()), "{agent}");
        }
    }
}
