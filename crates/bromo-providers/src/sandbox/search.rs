//! The fields of the Google endpoints.

use bromo_rules::answer::Source;
use bromo_rules::question::Question;
use serde_json::{Map, Value, json};

use super::Fields;
use super::chat::{citation_pills, domain};
use super::draw::{Draw, page, slug};

/// Results on one page.
const RESULTS_PER_PAGE: u32 = 10;

pub(super) fn google(draw: &mut Draw, question: &Question, topic: &str, sources: &[Source]) -> Fields {
    let mut fields = Fields::new();
    let include = question.include;
    fields.insert("organicResults".to_owned(), organic_results(draw, question, topic));
    fields.insert("peopleAlsoAsk".to_owned(), people_also_ask(draw, topic, sources, include.paa_ai_overview));
    fields.insert("peopleAreSaying".to_owned(), {
        let name = draw.name();
        json!([{ "position": 1, "title": format!("{name} on {topic}"), "link": page(name, "forum"),
                 "date": draw.date() }])
    });
    fields.insert("localResults".to_owned(), local_results(draw));
    let related = [format!("{topic} prices"), format!("{topic} near me"), format!("{topic} reviews")];
    fields.insert(
        "relatedSearches".to_owned(),
        related.map(|query| json!({ "link": page("search", &slug(&query)), "query": query })).to_vec().into(),
    );
    fields.insert("ads".to_owned(), ads(draw, topic));
    fields.insert("shoppingCards".to_owned(), {
        let name = draw.name();
        json!([{
            "title": format!("{name} No. 1"), "position": 1, "category": "Popular products",
            "price": draw.price().to_json(), "store": name, "rating": draw.rating(),
            "reviews": draw.reviews().to_string(), "thumbnail": draw.image(),
        }])
    });
    let overview = ai_overview(draw, topic, sources, include.ai_overview_markdown);
    if include.ai_overview {
        fields.insert("aioverview".to_owned(), overview);
    }
    fields
}

fn organic_results(draw: &mut Draw, question: &Question, topic: &str) -> Value {
    let results = RESULTS_PER_PAGE * u32::from(question.pages);
    (0..results)
        .map(|place| {
            let name = draw.name();
            let path = format!("{}-{}", slug(topic), question.start.saturating_add(place + 1));
            let mut result = json!({
                "position": place + 1, "title": format!("{topic} | {name}"), "link": page(name, &path),
                "displayedLink": format!("{} › {path}", domain(&page(name, ""))),
                "snippet": format!("What {name} says, made up by the sandbox."), "date": draw.date(),
                "page": place / RESULTS_PER_PAGE + 1,
            });
            if place == 0
                && let Some(result) = result.as_object_mut()
            {
                let link = json!({ "title": "Prices", "link": page(name, "prices") });
                result.insert("sitelinks".to_owned(), json!({ "inline": [link] }));
                result.insert("redirectLink".to_owned(), redirect(draw).into());
            }
            result
        })
        .collect()
}

/// An address that Google would resolve; this one leads nowhere.
fn redirect(draw: &mut Draw) -> String {
    format!("https://www.google.com/goto?url={}", draw.id())
}

fn people_also_ask(draw: &mut Draw, topic: &str, sources: &[Source], with_overview: bool) -> Value {
    let name = draw.name();
    let mut overview = json!({
        "question": format!("What is {topic}?"), "type": "AIOVERVIEW",
        "snippet": "An answer made up by the sandbox.",
    });
    // Drawn always, so that a flag changes no other field.
    let sources = source_list(draw, sources);
    if with_overview && let Some(overview) = overview.as_object_mut() {
        overview.insert("markdown".to_owned(), json!("An answer **made up** by the sandbox."));
        overview.insert("sources".to_owned(), sources);
    }
    json!([
        overview,
        { "question": format!("Is {topic} worth it?"), "type": "LINK", "snippet": "It depends.",
          "title": format!("{name} on {topic}"), "link": page(name, "worth-it") },
        { "question": format!("Who needs {topic}?"), "type": "UNKNOWN" },
    ])
}

fn source_list(draw: &mut Draw, sources: &[Source]) -> Value {
    sources
        .iter()
        .enumerate()
        .map(|(place, source)| {
            json!({
                "position": place + 1, "url": source.url, "label": source.label,
                "description": source.description, "redirectLink": redirect(draw),
            })
        })
        .collect()
}

fn local_results(draw: &mut Draw) -> Value {
    let name = draw.name();
    json!([{
        "position": 1, "title": name, "placeId": draw.id(), "rating": draw.rating(),
        "reviews": draw.reviews().to_string(), "price": "$$", "type": "Shop", "yearsInBusiness": "10+ years",
        "address": draw.address(), "phone": draw.phone(), "hours": "Open until 18:00",
        "description": "A shop that is not there.",
        "links": { "website": page(name, ""), "directions": page("maps", name) },
    }])
}

fn ads(draw: &mut Draw, topic: &str) -> Value {
    let [text, shop] = draw.names();
    json!([
        {
            "position": 1, "blockPosition": "top", "type": "RESULT", "title": format!("{topic} by {text}"),
            "url": page(text, "ad"), "page": 1, "displayedUrl": domain(&page(text, "")),
            "domain": domain(&page(text, "")), "description": "An advertisement by nobody.", "store": text,
            "sitelinks": [{ "url": page(text, "prices"), "title": "Prices", "description": "All prices" }],
        },
        {
            "position": 2, "blockPosition": "bottom", "type": "SHOPPING_CARD",
            "title": format!("{shop} No. 1"), "url": page(shop, "product"), "page": 1,
            "displayedUrl": domain(&page(shop, "")), "domain": domain(&page(shop, "")),
            "description": "A product that is not for sale.", "price": draw.price().to_json(), "store": shop,
            "imageUrl": draw.image(), "sitelinks": [],
        },
    ])
}

fn ai_overview(draw: &mut Draw, topic: &str, sources: &[Source], with_markdown: bool) -> Value {
    let [link, video, ad] = draw.names();
    let mut overview = json!({
        "text": format!("An overview of {topic}, made up by the sandbox."),
        "sources": source_list(draw, sources),
        "citationPills": citation_pills(sources, 1),
        "relatedLinks": [{ "label": link, "citationPillId": 1, "url": page(link, ""),
                           "domain": domain(&page(link, "")) }],
        "videos": [{ "url": page(video, "watch"), "title": format!("{topic} in a minute"),
                     "thumbnail": draw.image(), "source": video, "platform": "Sandbox",
                     "date": draw.date(), "duration": "1:00" }],
        "ads": [{ "position": 1, "title": format!("{topic} by {ad}"), "url": page(ad, "ad"), "type": "TEXT",
                  "domain": domain(&page(ad, "")), "description": "An advertisement by nobody.",
                  "price": draw.price().raw, "old_price": "", "store": ad, "image": draw.image() }],
    });
    if with_markdown && let Some(overview) = overview.as_object_mut() {
        let markdown = format!("An overview of **{topic}**, made up by the sandbox.");
        overview.insert("markdown".to_owned(), markdown.into());
    }
    overview
}

pub(super) fn google_news(draw: &mut Draw, question: &Question, topic: &str) -> Fields {
    let results = RESULTS_PER_PAGE * u32::from(question.pages);
    let news: Value = (0..results)
        .map(|place| {
            let name = draw.name();
            json!({
                "position": place + 1, "title": format!("{name} reports on {topic}"),
                "link": page(name, &format!("news-{}", place + 1)),
                "snippet": "News made up by the sandbox.", "source": format!("{name} Times"),
                "date": draw.date(), "page": place / RESULTS_PER_PAGE + 1, "thumbnail": draw.image(),
            })
        })
        .collect();
    Map::from_iter([("newsResults".to_owned(), news)])
}

pub(super) fn aimode(draw: &mut Draw, topic: &str, sources: &[Source], products: Option<u8>) -> Fields {
    let [place, store, advertiser, channel] = draw.names();
    let mut fields = Fields::new();
    fields.insert("citationPills".to_owned(), citation_pills(sources, 1).into());
    fields.insert(
        "places".to_owned(),
        json!([{ "title": place, "index": 1, "rating": draw.rating(), "reviews": draw.reviews(),
                 "type": "Shop", "address": draw.address(), "placeId": draw.id(), "phone": draw.phone(),
                 "website": page(place, ""), "link": page("maps", place), "priceLevel": "$$" }]),
    );
    fields.insert(
        "map".to_owned(),
        json!([{ "title": place, "index": 1, "rating": draw.rating(), "reviews": draw.reviews(),
                 "placeId": draw.id(), "link": page("maps", place),
                 "gpsCoordinates": { "latitude": draw.latitude(), "longitude": draw.longitude() } }]),
    );
    fields.insert(
        "shoppingCards".to_owned(),
        json!([{ "title": format!("{store} No. 1"), "position": 1, "price": draw.price().to_json(),
                 "store": store, "rating": draw.rating(), "reviews": draw.reviews().to_string(),
                 "thumbnail": draw.image(), "productLink": page(store, "product-1"),
                 "snippet": "A product that is not for sale.",
                 "snippetLinks": [{ "text": store, "link": page(store, "") }] }]),
    );
    fields.insert(
        "inlineProducts".to_owned(),
        json!([{ "title": format!("{store} No. 2"), "position": 1, "price": draw.price().to_json(),
                 "store": store, "thumbnail": draw.image(), "productLink": page(store, "product-2") }]),
    );
    fields.insert(
        "ads".to_owned(),
        json!({ "title": "Sponsored", "ads": [{
            "title": format!("{topic} by {advertiser}"), "url": page(advertiser, "ad"), "position": 1,
            "price": draw.price().raw, "store": advertiser, "rating": draw.rating(),
            "reviews": draw.reviews().to_string(), "imageUrl": draw.image(),
        }] }),
    );
    fields.insert(
        "videos".to_owned(),
        json!([{ "title": format!("{topic} in a minute"), "link": page(channel, "watch"),
                 "platform": "Sandbox", "channel": channel, "duration": "1:00", "thumbnail": draw.image() }]),
    );
    if let Some(count) = products {
        fields.insert(
            "productResults".to_owned(),
            (1..=count).map(|place| product_result(draw, place)).collect(),
        );
    }
    fields
}

fn product_result(draw: &mut Draw, place: u8) -> Value {
    let [brand, first, second] = draw.names();
    json!({
        "title": format!("{brand} No. {place}"),
        "stores": [
            { "name": first, "link": page(first, "product"), "price": draw.price().to_json(),
              "shipping": "Free", "condition": "New", "rating": draw.rating(),
              "reviews": draw.reviews().to_string(), "redirectLink": redirect(draw) },
            { "name": second, "link": page(second, "product"), "price": draw.price().to_json() },
        ],
        "aboutTheProduct": { "description": "A product that is not for sale.", "features": ["Green", "Light"] },
        "specifications": { "General": { "Colour": "Green" } },
        "images": [{ "mainUrl": draw.image(), "title": brand }],
        "rating": draw.rating(), "reviews": draw.reviews().to_string(),
    })
}
