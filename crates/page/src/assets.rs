//! The files of the page itself. They are part of the program: no path of a request reaches the file system.

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// A file of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asset {
    pub(crate) content_type: &'static str,
    pub(crate) text: &'static str,
}

/// By path. The last is the style sheet of the report, which the page looks like.
static ASSETS: [(&str, Asset); 10] = [
    ("/", Asset { content_type: HTML, text: include_str!("../assets/index.html") }),
    ("/page.css", Asset { content_type: CSS, text: include_str!("../assets/page.css") }),
    ("/page.js", Asset { content_type: JS, text: include_str!("../assets/page.js") }),
    ("/state.js", Asset { content_type: JS, text: include_str!("../assets/state.js") }),
    ("/pipeline.js", Asset { content_type: JS, text: include_str!("../assets/pipeline.js") }),
    ("/chart.js", Asset { content_type: JS, text: include_str!("../assets/chart.js") }),
    ("/draw.js", Asset { content_type: JS, text: include_str!("../assets/draw.js") }),
    ("/dom.js", Asset { content_type: JS, text: include_str!("../assets/dom.js") }),
    ("/sections.js", Asset { content_type: JS, text: include_str!("../assets/sections.js") }),
    ("/report.css", Asset { content_type: CSS, text: report::STYLE }),
];

/// The file at this path.
pub(crate) fn at(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|(name, _)| *name == path).map(|(_, asset)| asset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_page_loads_is_small() {
        let bytes: usize = ASSETS.iter().map(|(_, asset)| asset.text.len()).sum();
        assert!(bytes <= 150_000, "{bytes}");
    }
}
