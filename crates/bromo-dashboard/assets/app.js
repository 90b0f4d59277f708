// What the pages cannot do as plain HTML: live updates, keys, copying, reading charts. Every page works without it.
"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector, inside = document) => inside.querySelector(selector);
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const cookie = (name) => document.cookie.match(`(?:^|; )${name}=([^;]*)`)?.[1];
  const number = (n) => n.toLocaleString("en-US");
  root.classList.add("js");

  // Theme: system, light, dark in turn; the server reads the cookie, so the next page has it from the start.
  const themes = ["system", "light", "dark"];
  const showTheme = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of all("[data-theme-switch]")) button.textContent = `theme: ${theme}`;
  };
  let theme = themes.includes(cookie("theme")) ? cookie("theme") : "system";
  showTheme(theme);
  const nextTheme = () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax`;
    showTheme(theme);
  };

  // Announcements for those who hear the page: changes of state only, at most one in 10 s.
  const voice = document.createElement("p");
  voice.className = "sr";
  voice.setAttribute("role", "status");
  document.body.append(voice);
  let spoken = -1e9;
  const announce = (text) => {
    if (performance.now() - spoken < 10_000) return;
    spoken = performance.now();
    voice.textContent = text;
  };

  // Copy: the attribute's value, or the <code> beside the button. Plain HTTP has no clipboard: then the text is selected.
  const copy = async (text, button, shown) => {
    const label = button && (one("span", button) ?? button);
    const say = (word) => {
      announce(word);
      if (!label) return;
      label.dataset.word ??= label.textContent;
      label.textContent = word;
      setTimeout(() => (label.textContent = label.dataset.word), 2_000);
    };
    try {
      await navigator.clipboard.writeText(text);
      say("copied");
    } catch {
      if (!shown) return;
      shown.textContent = text;
      getSelection().selectAllChildren(shown);
      say("selected: press Ctrl+C");
    }
  };
  const copyFrom = (button) => {
    const shown = button.previousElementSibling;
    return copy(button.dataset.copy || shown?.textContent || "", button, shown);
  };

  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest?.(selector);
    if (on("[data-copy]")) copyFrom(on("[data-copy]"));
    else if (on("[data-theme-switch]")) nextTheme();
    else if (on("[data-live-pause]")) pause(!paused);
    else if (on("[data-keys]")) showKeys();
    else if (on("[data-more]")) letIn(true);
  });

  // Live: one stream for each visible tab, resumed after the last id it saw.
  const address = document.body.dataset.live;
  const tail = () => one("tbody[data-tail]");
  const rowsMax = 500;
  const paintMs = 500;
  let stream, paused = false, lastId = "", lostAt, clock;
  const show = (kind, text) => {
    for (const place of all("[data-live-state]")) {
      if (place.textContent === text) continue;
      place.className = `live live-${kind}`;
      place.textContent = text;
      announce(text);
    }
  };
  // The server's clock, carried on from its last `state` event; the browser's is never shown.
  const serverTime = () => {
    if (!clock) return "";
    const [hours, minutes, seconds] = clock.time.split(":").map(Number);
    const passed = Math.round((performance.now() - clock.at) / 1_000);
    const total = (hours * 3_600 + minutes * 60 + seconds + passed) % 86_400;
    const part = (n) => String(Math.floor(n)).padStart(2, "0");
    return ` since ${part(total / 3_600)}:${part((total / 60) % 60)}:${part(total % 60)}`;
  };
  const close = () => {
    stream?.close();
    stream = undefined;
  };
  const open = () => {
    if (!address || stream || paused || document.hidden) return;
    const join = address.includes("?") ? "&" : "?";
    stream = new EventSource(lastId ? `${address}${join}after=${encodeURIComponent(lastId)}` : address);
    stream.onopen = () => {
      lostAt = undefined;
      show("on", "live");
    };
    stream.onerror = () => {
      lostAt ??= serverTime();
      if (stream?.readyState !== EventSource.CLOSED) show("lost", `reconnecting${lostAt}`);
      else {
        close();
        show("lost", `ended${lostAt}, reload to go on`);
      }
    };
    const listen = (kind, take) => stream.addEventListener(kind, (event) => {
      if (event.lastEventId) lastId = event.lastEventId;
      take(JSON.parse(event.data));
    });
    listen("state", (state) => (clock = state.time && { time: state.time, at: performance.now() }));
    listen("fragment", (fragment) => fragments.set(fragment.id, fragment.html));
    listen("rows", (rows) => {
      held = [...parse(`<table><tbody>${rows.html}`).querySelectorAll("tr"), ...held].slice(0, rowsMax);
      const note = one("[data-tail-note]");
      if (note) note.textContent = rows.more ? `${number(rows.more)} more lines are not shown: narrow the filter` : "";
    });
  };
  const pause = (wish) => {
    paused = wish;
    for (const button of all("[data-live-pause]")) button.textContent = paused ? "go on" : "pause";
    if (paused) close(), show("paused", "paused");
    else open();
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  addEventListener("pagehide", close);
  addEventListener("pageshow", open);

  const parse = (html) => {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content;
  };
  const fragments = new Map();
  let held = [], movedAt = -1e9;
  document.addEventListener("pointermove", (event) => {
    if (event.target.closest?.("tbody[data-tail]")) movedAt = performance.now();
  });
  const swap = () => {
    for (const [id, html] of fragments) {
      const old = document.getElementById(id);
      if (old?.matches("[data-hold]:is(:hover, :focus-within)")) continue;
      fragments.delete(id);
      const fresh = parse(html).firstElementChild;
      if (!old || !fresh) continue;
      if (one("details[open]", old)) one("details", fresh)?.setAttribute("open", "");
      old.replaceWith(fresh);
      prepare(fresh);
    }
  };
  // New rows come in while nobody reads: the list at its top, no row focused, selected or open, the pointer still.
  const calm = (list) =>
    list.getBoundingClientRect().top > 0 && !list.closest(".scroll")?.scrollTop && !list.contains(document.activeElement)
    && !one("tr.on", list) && !one("#drawer") && performance.now() - movedAt > 2_000
    && (getSelection().isCollapsed || !list.contains(getSelection().anchorNode));
  const letIn = (asked) => {
    const list = tail();
    if (!list) return;
    let more = one("[data-more]");
    if (held.length && (asked || calm(list))) {
      for (const row of held) if (row.id) document.getElementById(row.id)?.remove();
      list.prepend(...held);
      held = [];
      while (list.rows.length > rowsMax) list.rows[list.rows.length - 1].remove();
      if (asked) list.closest("table").scrollIntoView({ block: "nearest" });
    }
    if (!held.length) return more?.remove();
    if (!more) {
      more = document.createElement("button");
      more.type = "button";
      more.className = "more";
      more.dataset.more = "";
      list.closest("table").before(more);
    }
    more.textContent = `${held.length === rowsMax ? `${rowsMax}+` : held.length} new lines`;
  };
  if (address) setInterval(() => paused || (swap(), letIn(false)), paintMs);

  // Charts: pointer, touch and arrow keys read the table below; Enter opens the lines of the step.
  const steps = (figure) => one("svg[viewBox]", figure).viewBox.baseVal.width / 4;
  const place = (plot, event) => {
    const box = plot.getBoundingClientRect();
    const count = steps(plot.closest("figure"));
    return Math.max(0, Math.min(count - 1, Math.floor(((event.clientX - box.left) / box.width) * count)));
  };
  const overlay = (plot, name, cls) => {
    const found = one(`.${cls}`, plot);
    if (found) return found;
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    made.setAttribute("class", cls);
    made.setAttribute("height", "100%");
    plot.lastElementChild.append(made);
    return made;
  };
  const read = (plot, step) => {
    const figure = plot.closest("figure");
    const row = one("tbody", figure).rows[step];
    const heads = all("thead th", figure);
    const cross = overlay(plot, "line", "cross");
    cross.classList.toggle("on", Boolean(row));
    const x = `${((step + 0.5) / steps(figure)) * 100}%`;
    for (const [name, value] of [["x1", x], ["x2", x], ["y2", "100%"]]) cross.setAttribute(name, value);
    plot.dataset.at = step;
    one("output", figure).textContent = row
      ? [...row.cells].map((cell, at) => (at && heads[at] && row.cells.length > 2 ? `${heads[at].textContent} ${cell.textContent}` : cell.textContent)).join(" · ")
      : "";
  };
  const forget = (plot) => {
    one(".cross", plot)?.classList.remove("on");
    one("output", plot.closest("figure")).textContent = "";
  };
  const openLines = (figure, from, to) => {
    const { lines, from: start, step } = figure.dataset;
    if (!lines) return;
    const moment = (at) => new Date(Number(start) + at * Number(step)).toISOString().replace(".000", "");
    location.href = `${lines}${lines.includes("?") ? "&" : "?"}from=${moment(from)}&to=${moment(to)}`;
  };
  let drag;
  const plotOf = (event) => event.target.closest?.(".plot");
  document.addEventListener("pointermove", (event) => {
    const plot = drag?.plot ?? plotOf(event);
    if (!plot) return;
    const at = place(plot, event);
    read(plot, at);
    if (!drag || (at === drag.from && !drag.box)) return;
    drag.box = overlay(plot, "rect", "drag");
    const [from, to] = [Math.min(at, drag.from), Math.max(at, drag.from) + 1];
    Object.assign(drag, { range: [from, to] });
    const share = (n) => `${(n / steps(plot.closest("figure"))) * 100}%`;
    drag.box.setAttribute("x", share(from));
    drag.box.setAttribute("width", share(to - from));
  });
  document.addEventListener("pointerdown", (event) => {
    const plot = plotOf(event);
    if (!plot || event.button) return;
    read(plot, place(plot, event));
    if (event.pointerType === "mouse" && plot.closest("[data-lines]")) drag = { plot, from: place(plot, event) };
  });
  document.addEventListener("pointerup", () => {
    if (drag?.range) openLines(drag.plot.closest("figure"), ...drag.range);
    drag?.box?.remove();
    drag = undefined;
  });
  document.addEventListener("dragstart", (event) => plotOf(event) && event.preventDefault());
  document.addEventListener("pointerout", (event) => {
    const plot = plotOf(event);
    if (plot && !drag && !plot.contains(event.relatedTarget)) forget(plot);
  });
  const plotKey = (plot, event) => {
    const figure = plot.closest("figure");
    const rows = one("tbody", figure).rows.length;
    const at = Number(plot.dataset.at ?? rows - 1);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: rows - 1 }[event.key];
    if (to !== undefined) read(plot, Math.max(0, Math.min(rows - 1, to))), event.preventDefault();
    else if (event.key === "Enter") openLines(figure, at, at + 1);
    else if (event.key === "Escape") forget(plot);
  };

  // Keys: never inside a field, never with a modifier, off with the cookie `keys=off`.
  const keyMap = [
    ["/", "filter"], ["g then o p k l t w y", "page"], ["j k", "row"], ["Enter", "open"], ["Esc", "close"], ["[ ]", "newer, older"],
    [".", "live on, off"], ["1 – 5", "range"], ["c", "copy id"], ["y", "copy link"], ["z", "time zone"], ["Ctrl+Enter", "send, confirm"],
  ];
  const showKeys = () => {
    const dialog = document.createElement("dialog");
    const list = keyMap.map(([key, what]) => `<dt><kbd>${key}</kbd></dt><dd>${what}</dd>`).join("");
    dialog.innerHTML = `<form method="dialog" class="stackv"><h2>Keys</h2><dl class="kv">${list}</dl><button class="btn">Close</button></form>`;
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };
  const follow = (selector) => one(selector)?.click();
  const walk = (by) => {
    const links = all("tbody a.go");
    const at = links.findIndex((link) => link.closest("tr").matches(".on, :focus-within"));
    const next = links[at < 0 ? 0 : at + by];
    if (!links.length) follow(by > 0 ? "a[rel=next]" : "a[rel=prev]");
    else if (next && one("#drawer")) next.click();
    else next?.focus();
  };
  const copyId = () => {
    const row = document.activeElement.closest?.("tr") ?? one("tr.on");
    const button = one("[data-copy]", row ?? document);
    if (button) copyFrom(button);
  };
  const keys = {
    "?": showKeys,
    "/": () => (one("[data-filter]") ?? one("form.filter input"))?.focus(),
    j: () => walk(1),
    k: () => walk(-1),
    "[": () => follow("a[rel=prev]"),
    "]": () => follow("a[rel=next]"),
    ".": () => address && pause(!paused),
    c: copyId,
    y: () => copy(one("[data-permalink]")?.href ?? location.href),
    z: () => one("[data-zone]")?.focus(),
    Escape: () => (one(".toast") ? one(".toast").remove() : follow("#drawer [data-close]")),
  };
  let goUntil = 0;
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return target.closest("form")?.requestSubmit();
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || one("dialog[open]")) return;
    if (target.matches(".plot")) return plotKey(target, event);
    if (event.key !== "Escape" && (target.matches("input, select, textarea, [contenteditable]") || cookie("keys") === "off")) return;
    if (performance.now() < goUntil) {
      goUntil = 0;
      return follow(`.rail [data-go="${CSS.escape(event.key)}"]`);
    }
    if (event.key === "g") goUntil = performance.now() + 1_500;
    else if (/^[1-5]$/.test(event.key)) follow(`[data-range="${event.key}"]`);
    else if (Object.hasOwn(keys, event.key)) keys[event.key](), event.preventDefault();
  });

  // Small things: counters in UTF-16 units, tabs that remember, toasts that leave, focus after a drawer.
  const count = (area) => {
    const place = document.getElementById(`${area.id}-count`);
    if (!place) return;
    place.textContent = `${number(area.value.length)} / ${number(Number(area.dataset.count))}`;
    place.classList.toggle("warm", area.value.length > Number(area.dataset.count));
  };
  document.addEventListener("input", (event) => event.target.matches("[data-count]") && count(event.target));
  const stored = (name, value) => {
    try {
      return value ? localStorage.setItem(name, value) : localStorage.getItem(name);
    } catch {
      return null; // Storage switched off: the choice lasts as long as the page.
    }
  };
  document.addEventListener("change", (event) => {
    const name = event.target.parentElement?.dataset.remember;
    if (name) stored(`tab-${name}`, event.target.value);
  });
  const prepare = (part) => {
    for (const plot of all(".plot", part)) plot.tabIndex = 0;
    all("[data-count]", part).forEach(count);
    for (const tabs of all("[data-remember]", part)) {
      const choice = stored(`tab-${tabs.dataset.remember}`);
      for (const input of all("input", tabs)) if (input.value === choice) input.checked = true;
    }
    for (const toast of all(".toast", part)) {
      const timer = setInterval(() => toast.matches(":hover, :focus-within") || (toast.remove(), clearInterval(timer)), 6_000);
    }
  };
  prepare(document);
  one("#drawer")?.focus();
  const back = location.hash && document.getElementById(location.hash.slice(1));
  if (back && back.matches("tr")) one("a.go", back)?.focus();
  open();
})();
