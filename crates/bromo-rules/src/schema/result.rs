//! The result object of each endpoint (contract section 5). What the documentation always shows is required;
//! of the rich cards, whose members depend on what the engine found, only the types are given.

use serde_json::{Value, json};

use super::shape::{list, object, objects};
use crate::endpoint::Endpoint;

/// The result object of `endpoint`, with the `model` and `provider` that really answered.
///
/// Source: docs/answers.md#results
pub fn result(endpoint: Endpoint) -> Value {
    let mut schema = match endpoint {
        Endpoint::Chatgpt => chatgpt(),
        Endpoint::Gemini => gemini(),
        Endpoint::Copilot => copilot(),
        Endpoint::Perplexity => perplexity(),
        Endpoint::Grok => grok(),
        Endpoint::Aimode => aimode(),
        Endpoint::Google => google(),
        Endpoint::GoogleNews => google_news(),
    };
    schema["properties"]["model"] = json!({ "type": ["string", "null"], "description": "What answered." });
    schema["properties"]["provider"] = json!({ "type": "string", "description": "The kind of provider." });
    if let Some(required) = schema["required"].as_array_mut() {
        required.extend(["model".into(), "provider".into()]);
    }
    schema
}

/// Members of the endpoints that answer with text.
const TEXT: &str = "text:s markdown?:s html?:s rawResponse?:o[]";
const SOURCE: &str = "position:i url:s label:s description:s";
const GOOGLE_SOURCE: &str = "position:i url:s label:s description:s redirectLink?:s";
const PILL: &str = "label:s citationPillId:i url:s domain:s description?:s position:i";
const GOOGLE_PILL: &str =
    "label:s citationPillId:i url:s domain:s description?:s position?:i redirectLink?:s";

fn price() -> Value {
    object("value?:n currency?:s raw?:s", &[])
}

fn chatgpt() -> Value {
    let product = || {
        let offer = object(
            "merchant_name?:s seller_name?:s product_name?:s url?:s price?:s available?:b checkoutable?:b \
             merchant_subtitle?:any marketplace_seller?:any brand?:any original_price?:any details?:any \
             is_digital?:any shop_id?:any provider?:any tag?:any price_details?:o",
            &[],
        );
        object(
            "title:s position?:i url?:s description?:s price?:s featured_tag?:any merchant?:s rating?:n \
             num_reviews?:i image_urls?:s[] id?:s variants?:any provider?:any providers?:any[] \
             show_price_disclosure?:b metadata_sources?:any[] product_event_uuid?:s generatedProductQuery?:any",
            &[("offers?", list(offer))],
        )
    };
    let ad = object(
        "visibility?:s adsResponseIndex:i rendered:b",
        &[
            ("brand", object("name:s url:s favicon?:s", &[])),
            ("cards", objects("title:s body:s url:s image?:s", &[])),
        ],
    );
    let place = object(
        "name:s position:i id?:s provider?:s address?:s latitude?:n longitude?:n categories?:s[] rating?:n \
         reviewCount?:i description?:s phone?:s websiteUrl?:s",
        &[],
    );
    let pill = objects(&format!("{PILL} type:s datePublished?:s"), &[]);
    object(
        &format!("{TEXT} searchQueries?:s[] mapSearchQueries?:s[]"),
        &[
            ("sources", objects(&format!("{SOURCE} footnote:b datePublished?:s"), &[])),
            ("shoppingCards?", objects("tags:s[]", &[("products", list(product()))])),
            ("inlineProducts?", objects("render_as:s", &[("product", product())])),
            ("entities?", objects("type:s name:s", &[])),
            ("map?", list(place)),
            ("citationPills?", pill),
            ("ads?", list(ad)),
        ],
    )
}

fn gemini() -> Value {
    let place = object(
        "index:i title:s link?:s thumbnail?:s rating?:n reviews?:i type?:s description?:s price?:s",
        &[],
    );
    let card = object(
        "position:i title:s productLink?:s productId?:s oldPrice?:any store?:s storeLink?:s storeCount?:i \
         shipping?:s deliveryTime?:s rating?:n reviews?:i brand?:s description?:s thumbnail?:s images?:s[] \
         catalogId?:s gpcId?:s",
        &[("price?", price())],
    );
    object(
        TEXT,
        &[
            ("sources", objects(SOURCE, &[])),
            ("citationPills?", objects(PILL, &[])),
            ("places?", list(place)),
            ("shoppingCards?", list(card)),
        ],
    )
}

fn copilot() -> Value {
    let product = object(
        "position:i offerId?:s url?:s name:s description?:s tags?:any[] discountPrice?:any seller?:s \
         sellerLogoUrl?:s brandName?:s canTrackPrice?:b",
        &[
            ("product?", object("id:s groupId?:s brandGroupId?:s", &[])),
            ("images?", objects("title?:s url:s", &[])),
            ("specifications?", objects("displayName:s values:any[]", &[])),
            ("price?", object("amount?:n currency?:s currencySymbol?:s", &[])),
            ("rating?", object("value?:n count?:i maxRating?:n|null", &[])),
        ],
    );
    let place = object(
        "name:s position:i placeId?:s phoneNumber?:s url?:s openState?:any category?:s price?:any layerLabel?:s",
        &[
            ("location?", object("address?:s latitude?:n longitude?:n", &[])),
            ("reviews?", objects("count?:i rating?:n providerName?:s providerIconUrl?:any url?:s", &[])),
            ("photos?", objects("url:s altText?:any providerName?:any providerUrl?:any", &[])),
        ],
    );
    object(
        &format!("{TEXT} searchQueries?:s[]"),
        &[
            ("sources", objects(SOURCE, &[])),
            ("citationPills?", objects(PILL, &[])),
            ("shoppingCards?", objects("type?:s layout?:s", &[("products", list(product))])),
            ("map?", list(place)),
        ],
    )
}

fn perplexity() -> Value {
    let media = || {
        objects(
            "title:s url:s thumbnail?:s medium?:s source?:s image_width?:i image_height?:i thumbnail_width?:i \
             thumbnail_height?:i",
            &[],
        )
    };
    let hotel = object(
        "name:s url?:s rating?:n num_reviews?:i address?:s[] phone?:s description?:s image_url?:s images?:s[] \
         lat?:n lng?:n price_level?:any categories?:s[]",
        &[],
    );
    let place = object(
        "name:s url?:s rating?:n address?:s[] lat?:n lng?:n categories?:s[] map_url?:s images?:s[]",
        &[],
    );
    let offer = object(
        "url?:s price?:s merchant_name?:s product_name?:s available?:b price_details?:o original_price?:any",
        &[],
    );
    let product = object(
        "title:s id?:s url?:s price?:s merchant?:s available?:b imageUrls?:s[] numReviews?:n position?:i \
         rating?:n original_price?:any description?:s variants?:any[]",
        &[("offers?", list(offer))],
    );
    object(
        &format!("{TEXT} related_queries:s[] search_model_queries:s[]"),
        &[
            ("sources", objects(SOURCE, &[])),
            ("citationPills?", objects(PILL, &[])),
            ("videos", media()),
            ("images", media()),
            ("hotels", list(hotel)),
            ("places", list(place)),
            ("shopping_cards", objects("tags:s[]", &[("products", list(product))])),
        ],
    )
}

fn grok() -> Value {
    // Only the first four are certain where another engine answers for it.
    let source = format!(
        "{SOURCE} preview?:s searchEngineText?:s siteName?:s metadataTitle?:s creator?:s image?:s favicon?:s"
    );
    object(&format!("{TEXT} searchQueries:s[]"), &[("sources", objects(&source, &[]))])
}

const GOOGLE_PLACE: &str = "title:s index:i thumbnail?:s rating?:n reviews?:i type?:s address?:s status?:s \
                            phone?:s website?:s priceLevel?:s";

fn google_places() -> Value {
    objects(&format!("{GOOGLE_PLACE} placeId?:s link?:s"), &[])
}

fn google_map() -> Value {
    let coordinates = object("latitude:n longitude:n", &[]);
    objects(&format!("{GOOGLE_PLACE} placeId:s link:s"), &[("gpsCoordinates", coordinates)])
}

fn product_results() -> Value {
    let store = object(
        "name:s link?:s installments?:any description?:s buyingOptions?:s[] logo?:s shipping?:s condition?:s \
         rating?:n reviews?:s redirectLink?:s",
        &[("price?", price())],
    );
    objects(
        "title:s specifications?:o rating?:n reviews?:s variants?:any userReviews?:any relatedProducts?:any",
        &[
            ("stores?", list(store)),
            ("aboutTheProduct?", object("description?:s features?:s[]", &[])),
            ("images?", objects("mainUrl:s thumbnailUrl?:s title?:s", &[])),
        ],
    )
}

fn aimode() -> Value {
    let card = object(
        "title:s position:i oldPrice?:any store?:s rating?:n reviews?:s thumbnail?:s productLink?:s snippet?:s",
        &[("price?", price()), ("snippetLinks?", objects("text:s link:s redirectLink?:s", &[]))],
    );
    let inline = object(
        "title:s position:i oldPrice?:any store?:s thumbnail?:s productLink?:s",
        &[("price?", price())],
    );
    let ad = "title:s url:s position:i price?:any store?:s rating?:n reviews?:s imageUrl?:s redirectLink?:s";
    let video = "title:s link:s platform?:s channel?:s duration?:s thumbnail?:s redirectLink?:s";
    object(
        TEXT,
        &[
            ("sources", objects(GOOGLE_SOURCE, &[])),
            ("citationPills?", objects(GOOGLE_PILL, &[])),
            ("places", google_places()),
            ("map", google_map()),
            ("productResults?", product_results()),
            ("shoppingCards", list(card)),
            ("inlineProducts", list(inline)),
            ("ads", object("title:s", &[("ads", objects(ad, &[]))])),
            ("videos", objects(video, &[])),
        ],
    )
}

fn google() -> Value {
    let sitelinks = object("", &[("inline?", objects("title:s link:s redirectLink?:s", &[]))]);
    let organic = object(
        "position:i title:s link:s displayedLink:s snippet:s date?:s page:i redirectLink?:s",
        &[("sitelinks?", sitelinks)],
    );
    let asked = object(
        "question:s snippet?:s title?:s link?:s markdown?:s redirectLink?:s",
        &[
            ("type", json!({ "type": "string", "enum": ["AIOVERVIEW", "LINK", "UNKNOWN"] })),
            ("sources?", objects(GOOGLE_SOURCE, &[])),
        ],
    );
    let local = object(
        "position:i title:s placeId?:s rating?:n reviews?:s price?:s type?:s yearsInBusiness?:s address?:s \
         phone?:s hours?:s description?:s links?:o",
        &[],
    );
    let ad = object(
        "position:i title:s url:s page:i displayedUrl?:s domain?:s description?:s category?:s oldPrice?:any \
         store?:s imageUrl?:s",
        &[
            ("blockPosition", json!({ "type": "string", "enum": ["top", "bottom", "middle", "rhs"] })),
            ("type", json!({ "type": "string", "enum": ["RESULT", "SHOPPING_CARD"] })),
            ("price?", price()),
            ("sitelinks?", objects("url:s title:s description?:s", &[])),
        ],
    );
    let card = object(
        "title:s position:i promoLabel?:s category?:s oldPrice?:any store?:s rating?:n reviews?:s thumbnail?:s",
        &[("price?", price())],
    );
    object(
        "localResultsMoreLink?:s knowledgeGraph?:o html?:s[]",
        &[
            ("organicResults", list(organic)),
            ("peopleAlsoAsk", list(asked)),
            ("peopleAreSaying?", objects("position:i title:s link:s date?:s redirectLink?:s", &[])),
            ("localResults?", list(local)),
            ("relatedSearches", objects("query:s link:s", &[])),
            ("ads", list(ad)),
            ("aioverview?", ai_overview()),
            ("shoppingCards?", list(card)),
            ("productResults?", product_results()),
        ],
    )
}

fn ai_overview() -> Value {
    let related = "label:s citationPillId:i url:s domain:s description?:s redirectLink?:s";
    let video = "url:s title:s thumbnail?:s source?:s platform?:s date?:s duration?:s redirectLink?:s";
    let ad = object(
        "position:i title:s url:s domain?:s description?:s price?:any old_price?:any store?:s image?:s",
        &[("type", json!({ "type": "string", "enum": ["TEXT", "SHOPPING"] }))],
    );
    object(
        "text:s markdown?:s",
        &[
            ("sources", objects(GOOGLE_SOURCE, &[])),
            ("citationPills?", objects(GOOGLE_PILL, &[])),
            ("relatedLinks?", objects(related, &[])),
            ("videos", objects(video, &[])),
            ("places?", google_places()),
            ("map?", google_map()),
            ("ads", list(ad)),
        ],
    )
}

fn google_news() -> Value {
    let news = "position:i title:s link:s snippet:s source:s date:s page:i thumbnail?:s redirectLink?:s";
    object("html?:s[]", &[("newsResults", objects(news, &[]))])
}
