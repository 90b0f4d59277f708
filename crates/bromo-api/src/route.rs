//! Every URL under `/v1`, once: what it is called, which rate window counts it, and which paths lead to it.

use bromo_admission::RouteIndex;
use bromo_rules::endpoint::Endpoint;
use http::Method;

/// A route under `/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST /v1/monitor/…`
    Answer(Endpoint),
    /// `POST /v1/monitor/google/goto`
    Goto,
    /// `GET /v1/countries`
    Countries,
    /// `GET /v1/states`
    States,
    /// `GET /v1/credits`
    Credits,
    /// Everything else, and every wrong method: they share one window, so a caller cannot grow memory.
    Unknown,
}

impl Route {
    /// Every route that exists.
    pub const ALL: [Self; 12] = [
        Self::Answer(Endpoint::Chatgpt),
        Self::Answer(Endpoint::Gemini),
        Self::Answer(Endpoint::Copilot),
        Self::Answer(Endpoint::Perplexity),
        Self::Answer(Endpoint::Grok),
        Self::Answer(Endpoint::Aimode),
        Self::Answer(Endpoint::Google),
        Self::Answer(Endpoint::GoogleNews),
        Self::Goto,
        Self::Countries,
        Self::States,
        Self::Credits,
    ];

    /// The route of a request, aliases included (contract D14).
    pub fn find(method: &Method, path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v1/") else { return Self::Unknown };
        let post = *method == Method::POST;
        let get = *method == Method::GET;
        let found = match rest {
            "monitor/chatgpt" => Self::Answer(Endpoint::Chatgpt),
            "monitor/gemini" => Self::Answer(Endpoint::Gemini),
            "monitor/copilot" => Self::Answer(Endpoint::Copilot),
            "monitor/perplexity" => Self::Answer(Endpoint::Perplexity),
            "monitor/grok" => Self::Answer(Endpoint::Grok),
            "monitor/aimode" => Self::Answer(Endpoint::Aimode),
            "monitor/google" => Self::Answer(Endpoint::Google),
            "monitor/google/news" | "monitor/google-news" => Self::Answer(Endpoint::GoogleNews),
            "monitor/google/goto" => Self::Goto,
            "countries" => Self::Countries,
            "states" => Self::States,
            "credits" => Self::Credits,
            _ => Self::Unknown,
        };
        let fits = match found {
            Self::Answer(_) | Self::Goto => post,
            Self::Countries | Self::States | Self::Credits => get,
            Self::Unknown => true,
        };
        if fits { found } else { Self::Unknown }
    }

    /// Its rate window. An alias shares its route's.
    pub const fn window(self) -> RouteIndex {
        RouteIndex::new(match self {
            Self::Unknown => 0,
            Self::Goto => 1,
            Self::Countries => 2,
            Self::States => 3,
            Self::Credits => 4,
            Self::Answer(endpoint) => 8 + endpoint as u8,
        })
    }

    /// Its name in the log: the template without `/v1/`.
    pub const fn template(self) -> &'static str {
        match self {
            Self::Answer(Endpoint::Chatgpt) => "monitor/chatgpt",
            Self::Answer(Endpoint::Gemini) => "monitor/gemini",
            Self::Answer(Endpoint::Copilot) => "monitor/copilot",
            Self::Answer(Endpoint::Perplexity) => "monitor/perplexity",
            Self::Answer(Endpoint::Grok) => "monitor/grok",
            Self::Answer(Endpoint::Aimode) => "monitor/aimode",
            Self::Answer(Endpoint::Google) => "monitor/google",
            Self::Answer(Endpoint::GoogleNews) => "monitor/google/news",
            Self::Goto => "monitor/google/goto",
            Self::Countries => "countries",
            Self::States => "states",
            Self::Credits => "credits",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_is_found_by_its_template_and_has_its_own_window() {
        let mut windows = vec![Route::Unknown.window()];
        for route in Route::ALL {
            let path = format!("/v1/{}", route.template());
            let method =
                if matches!(route, Route::Answer(_) | Route::Goto) { Method::POST } else { Method::GET };
            assert_eq!(Route::find(&method, &path), route);
            assert!(!windows.contains(&route.window()), "{path}");
            windows.push(route.window());
        }
    }

    #[test]
    fn a_wrong_method_and_an_unknown_path_share_a_window() {
        assert_eq!(Route::find(&Method::GET, "/v1/monitor/chatgpt"), Route::Unknown);
        assert_eq!(Route::find(&Method::POST, "/v1/nothing"), Route::Unknown);
        assert_eq!(Route::find(&Method::POST, "/v1/monitor/aioverview"), Route::Unknown);
    }

    #[test]
    fn an_alias_is_its_route() {
        assert_eq!(
            Route::find(&Method::POST, "/v1/monitor/google-news"),
            Route::Answer(Endpoint::GoogleNews)
        );
    }
}
