// Live updates, keys, copying, reading charts: every page works without this module.
const root = document.documentElement;
const one = (selector, inside = document) => inside.querySelector(selector);
const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const byId = (id) => document.getElementById(id);
const on = (type, act) => document.addEventListener(type, act);
const cookie = (name) => document.cookie.match(`(?:^|; )${name}=([^;]*)`)?.[1];
const setCookie = (name, value) => (document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=lax`);
const number = (n) => n.toLocaleString("en-US");
root.classList.add("js");

// Theme: system, light, dark in turn; the server reads the cookie.
const themes = ["system", "light", "dark"];
let theme = root.dataset.theme ?? "system";
const showTheme = () => {
  if (theme === "system") delete root.dataset.theme;
  else root.dataset.theme = theme;
  for (const button of all("[data-theme-switch]")) button.textContent = theme;
};
const nextTheme = () => {
  setCookie("theme", (theme = themes[(themes.indexOf(theme) + 1) % 3]));
  showTheme();
};

// Copy. Plain HTTP has no clipboard: there the text is selected instead.
const copy = async (text, button, shown) => {
  const label = button && (one("span", button) ?? button);
  let word = "copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!shown) return;
    word = "selected: press Ctrl+C";
    shown.textContent = text;
    getSelection().selectAllChildren(shown);
  }
  if (!label) return;
  const { textContent, className } = label;
  if (textContent === word) return;
  Object.assign(label, { textContent: word, className: "" });
  setTimeout(() => Object.assign(label, { textContent, className }), 2_000);
};
const copyFrom = (button) => {
  const shown = button.previousElementSibling;
  copy(button.dataset.copy || shown.textContent, button, shown);
};

on("click", ({ target }) => {
  const acts = { copy: copyFrom, themeSwitch: nextTheme, livePause: pause, keys: showKeys, more: () => letIn(true) };
  const button = target.closest("button");
  for (const name in button?.dataset) acts[name]?.(button);
});

// Live: one stream for each visible tab, resumed after the last id it saw.
const address = document.body.dataset.live;
const rowsMax = 500;
const paintMs = 500;
const fragments = new Map();
let stream, paused, lastId, lostAt, clock;
let held = [], movedAt = -1e9;
const show = (kind, text) => {
  for (const place of all("[data-live-state]")) {
    if (place.textContent === text) continue;
    place.className = `live live-${kind}`;
    place.textContent = text;
  }
};
// By the server's clock: its last `state` event, carried on.
const since = () => clock ? ` since ${new Date(clock + performance.now()).toISOString().slice(11, 19)}` : "";
const close = () => (stream = stream?.close());
const open = () => {
  if (!address || stream || paused || document.hidden) return;
  const from = new URL(address, location);
  if (lastId) from.searchParams.set("after", lastId);
  stream = new EventSource(from);
  stream.onopen = () => show("on", "live", (lostAt = undefined));
  stream.onerror = () => {
    lostAt ??= since();
    show("lost", stream.readyState === 2 ? `ended${lostAt}: reload` : `reconnecting${lostAt}`);
  };
  const take = (kind, act) => stream.addEventListener(kind, ({ data, lastEventId }) => {
    lastId = lastEventId || lastId;
    act(JSON.parse(data));
  });
  take("state", ({ now }) => (clock = now - performance.now()));
  take("fragment", ({ id, html }) => fragments.set(id, html));
  take("rows", ({ html, more }) => {
    held = [...all("tr", parse(`<table>${html}`)), ...held].slice(0, rowsMax);
    const note = one("[data-tail-note]");
    if (note) note.textContent = more ? "more came than are shown: narrow the filter" : "";
  });
};
const pause = () => {
  paused = !paused;
  for (const button of all("[data-live-pause]")) button.textContent = paused ? "go on" : "pause";
  if (!paused) return open();
  close();
  show("paused", "paused");
};
on("visibilitychange", () => (document.hidden ? close() : open()));
addEventListener("pagehide", close);
addEventListener("pageshow", open);

const parse = (html) => {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
};
const swap = () => {
  for (const [id, html] of fragments) {
    const old = byId(id);
    if (old?.matches("[data-hold]:is(:hover, :focus-within)")) continue;
    fragments.delete(id);
    const fresh = parse(html).firstElementChild;
    if (!old || !fresh) continue;
    if (one("details[open]", old)) one("details", fresh)?.setAttribute("open", "");
    old.replaceWith(fresh);
    prepare(fresh.parentElement);
  }
};
// Rows come in while nobody reads: list at its top, no row focused, selected or open, pointer still.
const calm = (list) => {
  const selection = getSelection();
  return list.getBoundingClientRect().top > 0 && !list.closest(".scroll")?.scrollTop && !list.matches(":focus-within")
    && !one("tr.on, #drawer") && performance.now() - movedAt > 2_000
    && (selection.isCollapsed || !list.contains(selection.anchorNode));
};
const letIn = (asked) => {
  const list = one("tbody[data-tail]");
  if (!list) return;
  let more = one("[data-more]");
  if (held.length && (asked || calm(list))) {
    for (const row of held) if (row.id) byId(row.id)?.remove();
    list.prepend(...held);
    held = [];
    while (list.rows.length > rowsMax) list.lastElementChild.remove();
    if (asked) list.closest("table").scrollIntoView();
  }
  if (!held.length) return more?.remove();
  if (!more) {
    more = parse('<button type="button" class="more" data-more></button>').firstChild;
    list.closest("table").before(more);
  }
  more.textContent = `${held.length}${held.length < rowsMax ? "" : "+"} new lines`;
};
if (address) setInterval(() => paused || (swap(), letIn()), paintMs);

// Charts: pointer, touch and arrow keys read the table below; Enter or a drag opens the lines.
const figure = (plot) => plot.closest("figure");
const steps = (plot) => one("[viewBox]", plot).viewBox.baseVal.width / 4; // Four units a step.
const stepAt = (plot, { clientX }) => {
  const { left, width } = plot.getBoundingClientRect();
  return Math.max(0, Math.min(steps(plot) - 1, Math.floor(((clientX - left) / width) * steps(plot))));
};
const mark = (plot, shape, name, attributes) => {
  const made = one(`.${name}`, plot) ?? document.createElementNS("http://www.w3.org/2000/svg", shape);
  plot.lastChild.append(made);
  for (const key in attributes) made.setAttribute(key, attributes[key]);
};
const percent = (plot, step) => `${(step / steps(plot)) * 100}%`;
const read = (plot, step) => {
  const row = one("tbody", figure(plot)).rows[step];
  const heads = all("thead th", figure(plot)).map((head, at) => (at ? `${head.textContent} ` : ""));
  const x = percent(plot, step + 0.5);
  mark(plot, "line", "cross", { class: row ? "cross on" : "cross", x1: x, x2: x, y2: "100%" });
  plot.dataset.at = step;
  one("output", figure(plot)).textContent = row ? [...row.cells].map((cell, at) => heads[at] + cell.textContent).join(" · ") : "";
};
const forget = (plot) => {
  one(".cross", plot)?.remove();
  one("output", figure(plot)).textContent = "";
};
const openLines = (plot, from, to) => {
  const { lines, from: start, step } = figure(plot).dataset;
  if (!lines) return;
  const moment = (at) => new Date(+start + at * step).toISOString().replace(".000", "");
  location.href = `${lines}${lines.includes("?") ? "&" : "?"}from=${moment(from)}&to=${moment(to)}`;
};
let drag;
const plotOf = ({ target }) => target.closest(".plot");
on("pointermove", (event) => {
  if (event.target.closest("[data-tail]")) movedAt = performance.now();
  const plot = drag?.plot ?? plotOf(event);
  if (!plot) return;
  const at = stepAt(plot, event);
  read(plot, at);
  if (!drag || (at === drag.first && !drag.range)) return;
  const [from, to] = (drag.range = [Math.min(at, drag.first), Math.max(at, drag.first) + 1]);
  mark(plot, "rect", "drag", { class: "drag", x: percent(plot, from), width: percent(plot, to - from), height: "100%" });
});
on("pointerdown", (event) => {
  const plot = plotOf(event);
  if (!plot || event.button) return;
  const first = stepAt(plot, event);
  read(plot, first);
  if (event.pointerType === "mouse" && figure(plot).dataset.lines) drag = { plot, first };
});
on("pointerup", () => {
  if (drag?.range) openLines(drag.plot, ...drag.range);
  one(".plot .drag")?.remove();
  drag = undefined;
});
on("dragstart", (event) => plotOf(event) && event.preventDefault());
on("pointerout", (event) => {
  const plot = plotOf(event);
  if (plot && !drag && !plot.contains(event.relatedTarget)) forget(plot);
});
const plotKey = (plot, event) => {
  const last = one("tbody", figure(plot)).rows.length - 1;
  const at = +(plot.dataset.at ?? last);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
  if (event.key === "Enter") openLines(plot, at, at + 1);
  else if (event.key === "Escape") forget(plot);
  else if (to === undefined) return false;
  else read(plot, Math.max(0, Math.min(last, to)));
  event.preventDefault();
  return true;
};

// Keys: never inside a field, never with a modifier, off with the cookie `keys=off`.
const showKeys = () => one("dialog")?.showModal();
const follow = (selector) => one(selector)?.click();
const walk = (by) => {
  const links = all("tbody a.go");
  const at = links.findIndex((link) => link.closest("tr").matches(".on, :focus-within"));
  const next = links[at < 0 ? 0 : at + by];
  if (!links.length) follow(by > 0 ? "a[rel=next]" : "a[rel=prev]");
  else if (one("#drawer")) next?.click();
  else next?.focus();
};
const copyId = () => one("[data-copy]", document.activeElement.closest("tr") ?? one("tr.on") ?? document)?.click();
const keys = {
  "?": showKeys,
  "/": () => (one("[data-filter]") ?? one(".filter input"))?.focus(),
  j: () => walk(1),
  k: () => walk(-1),
  "[": () => follow("a[rel=prev]"),
  "]": () => follow("a[rel=next]"),
  ".": () => address && pause(),
  c: copyId,
  y: () => copy(one("[data-permalink]")?.href ?? location.href),
  z: () => one("[data-zone]")?.focus(),
  Escape: () => (one(".toast") ? one(".toast").remove() : follow("#drawer [data-close]")),
};
let goUntil = 0;
on("keydown", (event) => {
  const { target, key } = event;
  const modified = event.ctrlKey || event.metaKey;
  if (key === "Enter" && modified) return target.form?.requestSubmit();
  if (modified || event.altKey || event.isComposing || one("dialog[open]")) return;
  if (target.matches(".plot") && plotKey(target, event)) return;
  if (key !== "Escape" && (target.matches("input, select, textarea") || cookie("keys") === "off")) return;
  if (performance.now() < goUntil) follow(`.rail [data-go="${CSS.escape(key)}"]`), (goUntil = 0);
  else if (key === "g") goUntil = performance.now() + 1_500;
  else if (/^[1-5]$/.test(key)) follow(`[data-range="${key}"]`);
  else if (Object.hasOwn(keys, key)) keys[key](), event.preventDefault();
});

// Counters in UTF-16 units, tabs that remember, toasts that leave, focus in and out of a drawer.
const count = ({ id, value, dataset }) => {
  const place = byId(`${id}-count`);
  if (!place) return;
  place.textContent = `${number(value.length)} / ${number(+dataset.count)}`;
  place.classList.toggle("warm", value.length > dataset.count);
};
on("input", ({ target }) => target.matches("[data-count]") && count(target));
on("change", ({ target }) => {
  const name = target.parentElement.dataset.remember;
  if (name) setCookie(`tab-${name}`, target.value);
});
const prepare = (part) => {
  for (const plot of all(".plot", part)) plot.tabIndex = 0;
  all("[data-count]", part).forEach(count);
  for (const tabs of all("[data-remember]", part))
    for (const input of all("input", tabs)) if (input.value === cookie(`tab-${tabs.dataset.remember}`)) input.checked = true;
};
for (const toast of all(".toast")) setInterval(() => toast.matches(":hover, :focus-within") || toast.remove(), 6_000);
showTheme();
prepare(document);
one("#drawer")?.focus();
byId(location.hash.slice(1))?.querySelector("a.go")?.focus();
open();
