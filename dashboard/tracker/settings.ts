// What the tag in the page says: `<script src="https://HOST/floodmark.js" data-key="KEY" …>`.

/** The tag. A script knows its own only while it begins, so it is looked for here, at once. */
export const tag = document.currentScript as HTMLScriptElement | null;

/** The attributes `data-…` of the tag. docs/API.md lists them. */
export const settings = tag?.dataset ?? {};

const query = settings.key ? '?key=' + encodeURIComponent(settings.key) : '';

/** Where events go. A beacon can't set headers, so the key stands in the address. */
export const address = tag ? new URL('v1/events' + query, settings.server || tag.src).href : '';
