"use strict";
(() => {
  // A table that is wider than its place stands a cell a line, each with its column's head.
  const fit = () => document.querySelectorAll(".scroll > table:not(.matrix, .heat)").forEach((table) => {
    const heads = [...table.querySelectorAll("thead th")].map((head) => head.textContent);
    table.querySelectorAll("tbody tr, tfoot tr").forEach((row) => {
      const first = heads.length - [...row.cells].reduce((sum, cell) => sum + cell.colSpan, 0);
      [...row.cells].forEach((cell, n) => { cell.dataset.head = heads[first + n] || ""; });
    });
    table.classList.remove("stack");
    table.classList.toggle("stack", table.scrollWidth > table.parentElement.clientWidth + 1);
  });
  addEventListener("resize", fit);
  addEventListener("beforeprint", () => document.querySelectorAll(".stack").forEach((table) => table.classList.remove("stack")));
  addEventListener("afterprint", fit);
  document.querySelectorAll("details").forEach((part) => part.addEventListener("toggle", fit));
  fit();

  // Any figure opens at its own size.
  const large = document.getElementById("enlarged");
  document.querySelectorAll(".enlarge").forEach((button) => button.addEventListener("click", () => {
    const image = button.querySelector("img").cloneNode();
    const caption = document.createElement("p");
    image.removeAttribute("width");
    image.removeAttribute("height");
    caption.textContent = image.alt;
    large.replaceChildren(image, caption);
    large.showModal();
  }));
  large?.addEventListener("click", () => large.close());

  const source = document.getElementById("gallery-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const at = (id) => document.getElementById(id);
  const filters = ["by-label", "by-predicted", "by-right", "by-confidence", "sort", "by-galaxy"];
  const PAGE = 60;
  let found = [];
  let drawn = 0;
  let open = 0;
  // Calibrated, or as the network gives them: one kind at a time.
  const kindOf = () => Number(at("kind")?.value || 0);
  const given = (row) => (kindOf() && row.raw)
    ? { ...row, ...row.raw, right: row.raw.predicted === row.label, set: undefined } : row;

  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
  const picture = (row, alt) => {
    if (!row.uri) return make("span", "no image", "blank");
    const image = make("img");
    image.src = row.uri;
    image.alt = alt;
    image.width = image.height = data.side;
    return image;
  };

  const matches = (row) => {
    const [label, predicted, right, confidence, , galaxy] = filters.map((id) => at(id).value);
    return (!label || row.label === label)
      && (!predicted || row.predicted === predicted)
      && (!right || row.right === (right === "right"))
      && row.confidence >= Number(confidence)
      && row.galaxy.toLowerCase().includes(galaxy.trim().toLowerCase());
  };
  const orders = {
    "error": (a, b) => b.error - a.error,
    "confidence": (a, b) => a.confidence - b.confidence,
    "-confidence": (a, b) => b.confidence - a.confidence,
    "-uncertainty": (a, b) => b.uncertainty - a.uncertainty,
    "galaxy": (a, b) => a.galaxy.localeCompare(b.galaxy, "en", { numeric: true }),
  };

  const card = (row, position) => {
    const button = make("button");
    button.type = "button";
    button.append(picture(row, ""));
    const details = make("span", undefined, "details");
    details.append(make("strong", row.galaxy), make("br"));
    const verdict = `${row.right ? "✓" : "✗"} ${data.words[row.predicted]} ${percent(row.confidence)}`;
    details.append(make("span", verdict, row.right ? "right" : "wrong"));
    if (!row.right) details.append(make("br"), `${data.truth}: ${data.words[row.label]}`);
    button.append(details);
    button.addEventListener("click", () => show(position));
    const item = make("li");
    item.append(button);
    return item;
  };

  const drawMore = () => {
    const next = found.slice(drawn, drawn + PAGE);
    at("galaxies").append(...next.map((row, n) => card(row, drawn + n)));
    drawn += next.length;
    at("more").hidden = drawn >= found.length;
  };
  const update = () => {
    found = data.rows.map(given).filter(matches).sort(orders[at("sort").value]);
    drawn = 0;
    at("galaxies").replaceChildren();
    drawMore();
    const wrong = found.filter((row) => !row.right).length;
    at("count").textContent = found.length
      ? `${found.length.toLocaleString("en")} of ${data.rows.length.toLocaleString("en")} galaxies, ${wrong.toLocaleString("en")} wrong`
      : "No galaxy is so.";
  };

  const table = (caption, heads, rows) => {
    const result = make("table");
    result.append(make("caption", caption));
    const head = make("thead");
    const line = make("tr");
    heads.forEach((text, n) => {
      const cell = make("th", text, n >= heads.indexOf("model") ? "n" : "");
      cell.scope = "col";
      line.append(cell);
    });
    head.append(line);
    const body = make("tbody");
    rows.forEach(([words, shares]) => {
      const row = make("tr");
      words.forEach((text, n) => {
        const cell = make(n ? "td" : "th", text);
        if (!n) cell.scope = "row";
        row.append(cell);
      });
      shares.forEach((share) => row.append(make("td", percent(share), "n")));
      body.append(row);
    });
    result.append(head, body);
    return result;
  };
  const byName = new Map(data.rows.map((row) => [row.galaxy, row]));
  const heat = (cells) => heatOf([...atob(cells)].map((cell) => cell.charCodeAt(0) / 255));
  const likeness = (row) => {
    const near = (row.near || []).filter(([name]) => byName.has(name));
    if (!near.length) return [];
    const list = make("ul", undefined, "near");
    near.forEach(([name, distance]) => {
      const other = given(byName.get(name));
      const button = make("button");
      button.type = "button";
      const verdict = `${data.words[other.predicted]}, ${distance.toFixed(1)}`;
      button.append(picture(other, ""), make("span", verdict, other.right ? "right" : "wrong"));
      button.setAttribute("aria-label",
        `Galaxy ${name}, model: ${data.words[other.predicted]}, ${other.right ? "right" : "wrong"}`);
      button.addEventListener("click", () => {
        const position = () => found.findIndex((each) => each.galaxy === name);
        if (position() < 0) { reset(); update(); }
        show(position());
      });
      const item = make("li");
      item.append(button);
      list.append(item);
    });
    const alike = near.some(([, , isAlike]) => isAlike);
    return [make("h4", alike ? "Most alike to the network, with distances"
      : "Nearest, but as far away as any two galaxies are: none is alike"), list];
  };
  const told = (row) => {
    const parts = [make("p", `${row.right ? "✓" : "✗"} ${data.truth}: ${data.words[row.label]}; model: ${data.words[row.predicted]}.`,
      row.right ? "right" : "wrong")];
    const epistemic = row.epistemic === undefined ? "" : `, ${row.epistemic.toFixed(2)} of it epistemic`;
    parts.push(make("p", `Uncertainty: ${row.uncertainty.toFixed(2)} nats${epistemic}.`));
    if (row.set !== undefined) parts.push(make("p", `Prediction set: ${row.set}.`));
    const heads = data.soft ? ["model", data.truth] : ["model"];
    if (data.tree) {
      parts.push(table("The likeliest walk down the tree, shares of those asked",
        ["question", "answer", ...heads],
        row.walk.map(([question, answer, model, votes]) => [[question, answer], [model, votes]])));
    } else {
      const rows = data.names.map((name, n) => [[data.words[name]], row.shares[n].slice(0, heads.length)]);
      rows.sort((a, b) => b[1][0] - a[1][0]);
      const caption = data.soft ? "Shares of votes"
        : data.kinds[kindOf()].replace(/^./, (first) => first.toUpperCase());
      parts.push(table(caption, ["class", ...heads], rows));
    }
    return parts;
  };
  const show = (position) => {
    open = position;
    const row = found[position];
    at("galaxy-title").textContent = `Galaxy ${row.galaxy}`;
    const seen = make("div", undefined, "seen");
    seen.append(picture(row, `Image of galaxy ${row.galaxy}`));
    const maps = row.map || {};
    for (const option of at("heat").options) option.hidden = option.disabled = option.value && !maps[option.value];
    if (at("heat").selectedOptions[0]?.disabled) at("heat").value = "";
    if (at("heat").value) seen.append(heat(maps[at("heat").value]));
    at("galaxy-image").replaceChildren(seen);
    at("with-heat").hidden = !row.map;
    at("galaxy-near").replaceChildren(...likeness(row));
    at("galaxy-told").replaceChildren(...told(row));
    at("before").disabled = position === 0;
    at("after").disabled = position === found.length - 1;
    if (!at("galaxy").open) at("galaxy").showModal();
  };

  const step = (by) => {
    if (open + by >= 0 && open + by < found.length) show(open + by);
  };
  at("before").addEventListener("click", () => step(-1));
  at("after").addEventListener("click", () => step(1));
  at("heat").addEventListener("input", () => show(open));
  at("close").addEventListener("click", () => at("galaxy").close());
  at("galaxy").addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  at("galaxy").addEventListener("click", (event) => {
    if (event.target === at("galaxy")) at("galaxy").close();
  });
  const reset = () => filters.forEach((id) => {
    const control = at(id);
    if (control.tagName === "SELECT") control.selectedIndex = 0;
    else control.value = "";
  });
  [...filters, "kind"].forEach((id) => at(id)?.addEventListener("input", update));
  at("reset").addEventListener("click", () => { reset(); update(); });
  at("more").addEventListener("click", drawMore);
  document.querySelectorAll(".matrix button").forEach((button) => {
    button.addEventListener("click", () => {
      reset();
      at("by-label").value = button.dataset.label;
      at("by-predicted").value = button.dataset.predicted;
      update();
      at("gallery").scrollIntoView();
      at("by-label").focus({ preventScroll: true });
    });
  });
  update();
})();
