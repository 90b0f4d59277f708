//! The fields of the chat endpoints beyond text and sources.

use bromo_rules::answer::Source;
use bromo_rules::question::Question;
use serde_json::{Value, json};

use super::Fields;
use super::draw::{Draw, page};

/// A chip in the text for each source. ChatGPT counts its chips from 0, all others from 1.
pub(super) fn citation_pills(sources: &[Source], first_id: usize) -> Vec<Value> {
    let pill = |(place, source): (usize, &Source)| {
        json!({
            "label": source.label,
            "citationPillId": first_id + place,
            "url": source.url,
            "domain": domain(&source.url),
            "description": source.description,
            "position": place + 1,
        })
    };
    sources.iter().enumerate().map(pill).collect()
}

pub(super) fn domain(url: &str) -> &str {
    url.trim_start_matches("https://").split('/').next().unwrap_or_default()
}

pub(super) fn chatgpt(draw: &mut Draw, question: &Question, topic: &str, sources: &[Source]) -> Fields {
    let mut fields = Fields::new();
    let [first, second] = draw.names();
    fields.insert(
        "entities".to_owned(),
        json!([{ "type": "brand", "name": first }, { "type": "brand", "name": second }]),
    );
    fields.insert(
        "map".to_owned(),
        json!([{
            "id": draw.id(), "provider": "yelp", "name": first, "position": 1, "address": draw.address(),
            "latitude": draw.latitude(), "longitude": draw.longitude(), "categories": ["Shop"],
            "rating": draw.rating(), "reviewCount": draw.reviews(), "description": "A shop that is not there.",
            "phone": draw.phone(), "websiteUrl": page(first, ""),
        }]),
    );
    let mut pills = citation_pills(sources, 0);
    for pill in pills.iter_mut().filter_map(Value::as_object_mut) {
        pill.insert("type".to_owned(), json!("searchResult"));
        pill.insert("datePublished".to_owned(), json!(draw.date()));
    }
    fields.insert("citationPills".to_owned(), pills.into());
    // Drawn always, so that a flag changes no other field.
    let (card, inline) = (chatgpt_product(draw, first, 1), chatgpt_product(draw, second, 2));
    let ad = json!({
        "brand": { "name": second, "url": page(second, ""), "favicon": page(second, "favicon.ico") },
        "cards": [{ "title": topic, "body": "An advertisement by nobody.", "url": page(second, "ad"),
                    "image": draw.image() }],
        "visibility": "visible", "adsResponseIndex": 0, "rendered": true,
    });
    if question.include.search_queries {
        fields.insert("mapSearchQueries".to_owned(), json!([format!("{topic} near me")]));
    }
    if question.include.shopping {
        fields.insert("shoppingCards".to_owned(), json!([{ "tags": ["popular"], "products": [card] }]));
        fields.insert("inlineProducts".to_owned(), json!([{ "product": inline, "render_as": "inline" }]));
    }
    if question.include.ads {
        fields.insert("ads".to_owned(), json!([ad]));
    }
    fields
}

fn chatgpt_product(draw: &mut Draw, name: &str, position: u32) -> Value {
    let price = draw.price().raw;
    let (id, event, url) = (draw.id(), draw.id(), page(name, "product"));
    let title = format!("{name} No. {position}");
    let supporting: Vec<Value> = Vec::new();
    json!({
        "title": title, "position": position, "url": url, "description": "A product that is not for sale.",
        "price": price, "featured_tag": "Popular", "merchant": name, "rating": draw.rating(),
        "num_reviews": draw.reviews(), "image_urls": [draw.image()], "id": id, "variants": [],
        "offers": [{
            "merchant_name": name, "merchant_subtitle": null, "marketplace_seller": null, "seller_name": name,
            "brand": null, "product_name": title, "url": url, "price": price, "details": "In stock",
            "original_price": null, "available": true, "checkoutable": false, "is_digital": null,
            "checkout_payload": null, "checkout_image_urls": null, "shop_id": null, "provider": "sandbox",
            "price_details": { "display_price": null, "base": price, "shipping": null, "tax": null,
                               "total": price },
            "tag": null,
        }],
        "rating_grouped_citation": { "title": name, "url": url, "supporting_websites": supporting },
        "provider": "sandbox", "providers": ["sandbox"], "product_lookup_key": { "data": id },
        "product_lookup_data": { "request_query": title, "all_ids": [id], "metadata_sources": ["sandbox"] },
        "showcase_metadata": { "image": draw.image(), "background": "#ffffff", "slots": [], "debug": {} },
        "show_price_disclosure": false, "analytics_meta": { "product_event_uuid": event },
        "metadata_sources": ["sandbox"], "product_event_uuid": event, "generatedProductQuery": title,
    })
}

pub(super) fn gemini(draw: &mut Draw, sources: &[Source]) -> Fields {
    let [place, store] = draw.names();
    let price = draw.price();
    let mut fields = Fields::new();
    fields.insert("citationPills".to_owned(), citation_pills(sources, 1).into());
    fields.insert(
        "places".to_owned(),
        json!([{
            "index": 1, "title": place, "link": page(place, ""), "thumbnail": draw.image(),
            "rating": draw.rating(), "reviews": draw.reviews(), "type": "Shop",
            "description": "A shop that is not there.", "price": "$$",
        }]),
    );
    fields.insert(
        "shoppingCards".to_owned(),
        json!([{
            "position": 1, "title": format!("{store} No. 1"), "productLink": page(store, "product"),
            "productId": draw.id(), "price": price.to_json(), "store": store, "storeLink": page(store, ""),
            "storeCount": 1 + draw.below(9), "shipping": "Free", "deliveryTime": "2 days",
            "rating": draw.rating(), "reviews": draw.reviews(), "brand": store,
            "description": "A product that is not for sale.", "thumbnail": draw.image(),
            "images": [draw.image()], "catalogId": draw.id(), "gpcId": draw.id(),
        }]),
    );
    fields
}

pub(super) fn copilot(draw: &mut Draw, sources: &[Source]) -> Fields {
    let [place, seller] = draw.names();
    let price = draw.price();
    let mut fields = Fields::new();
    fields.insert("citationPills".to_owned(), citation_pills(sources, 1).into());
    fields.insert(
        "shoppingCards".to_owned(),
        json!([{
            "type": "products", "layout": "carousel",
            "products": [{
                "product": { "id": draw.id(), "groupId": draw.id() }, "position": 1, "offerId": draw.id(),
                "url": page(seller, "product"), "name": format!("{seller} No. 1"),
                "description": "A product that is not for sale.",
                "images": [{ "title": seller, "url": draw.image() }],
                "specifications": [{ "displayName": "Colour", "values": ["Green"] }], "tags": ["Popular"],
                "price": { "amount": price.value, "currency": "USD", "currencySymbol": "$" },
                "discountPrice": null, "seller": seller, "sellerLogoUrl": draw.image(), "brandName": seller,
                "rating": { "value": draw.rating(), "count": draw.reviews(), "maxRating": 5 },
                "canTrackPrice": false,
            }],
        }]),
    );
    fields.insert(
        "map".to_owned(),
        json!([{
            "name": place, "position": 1, "placeId": draw.id(),
            "location": { "address": draw.address(), "latitude": draw.latitude(),
                          "longitude": draw.longitude() },
            "phoneNumber": draw.phone(), "url": page(place, ""),
            "reviews": [{ "count": draw.reviews(), "rating": draw.rating(), "providerName": "Sandbox",
                          "providerIconUrl": null, "url": page(place, "reviews") }],
            "photos": [{ "url": draw.image(), "altText": null, "providerName": null,
                         "providerUrl": page(place, "") }],
            "openState": "Open", "category": "Shop", "price": null, "layerLabel": "1",
        }]),
    );
    fields
}

pub(super) fn perplexity(draw: &mut Draw, topic: &str) -> Fields {
    let [first, second, store] = draw.names();
    let price = draw.price().raw;
    let mut fields = Fields::new();
    let mut media = |name: &str, medium: &str, path: &str| {
        json!([{
            "title": format!("{name}: {topic}"), "url": page(name, path), "thumbnail": draw.image(),
            "medium": medium, "source": name, "image_width": 1280, "image_height": 720,
            "thumbnail_width": 320, "thumbnail_height": 180,
        }])
    };
    let (videos, images) = (media(first, "video", "watch"), media(second, "image", "image"));
    fields
        .insert("related_queries".to_owned(), json!([format!("{topic} prices"), format!("{topic} near me")]));
    fields.insert("search_model_queries".to_owned(), json!([topic, format!("{topic} reviews")]));
    fields.insert("videos".to_owned(), videos);
    fields.insert("images".to_owned(), images);
    fields.insert(
        "hotels".to_owned(),
        json!([{
            "name": format!("Hotel {first}"), "url": page(first, "hotel"), "rating": draw.rating(),
            "num_reviews": draw.reviews(), "address": [draw.address(), "Sandbox"], "phone": draw.phone(),
            "description": "A hotel that is not there.", "image_url": draw.image(), "images": [draw.image()],
            "lat": draw.latitude(), "lng": draw.longitude(), "price_level": "$$", "categories": ["Hotel"],
        }]),
    );
    fields.insert(
        "places".to_owned(),
        json!([{
            "name": second, "url": page(second, ""), "rating": draw.rating(),
            "address": [draw.address(), "Sandbox"], "lat": draw.latitude(), "lng": draw.longitude(),
            "categories": ["Shop"], "map_url": page("maps", second), "images": [draw.image()],
        }]),
    );
    let title = format!("{store} No. 1");
    fields.insert(
        "shopping_cards".to_owned(),
        json!([{
            "tags": ["popular"],
            "products": [{
                "title": title, "id": draw.id(), "url": page(store, "product"), "price": price,
                "merchant": store, "available": true, "imageUrls": [draw.image()],
                "numReviews": draw.reviews(), "position": 1, "rating": draw.rating(),
                "original_price": null, "description": "A product that is not for sale.", "variants": [],
                "offers": [{
                    "url": page(store, "product"), "price": price, "merchant_name": store,
                    "product_name": title, "available": true, "price_details": { "display_price": price },
                    "original_price": null,
                }],
            }],
        }]),
    );
    fields
}
