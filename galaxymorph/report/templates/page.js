"use strict";
(() => {
  const source = document.getElementById("gallery-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const at = (id) => document.getElementById(id);
  const filters = ["by-label", "by-predicted", "by-right", "by-confidence", "sort", "by-galaxy"];
  const PAGE = 60;
  let found = [];
  let drawn = 0;
  let open = 0;

  const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(1)} %`);
  const make = (tag, text, kind) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (kind) element.className = kind;
    return element;
  };
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
    "-doubt": (a, b) => b.doubt - a.doubt,
    "galaxy": (a, b) => a.galaxy.localeCompare(b.galaxy, "en", { numeric: true }),
  };

  const card = (row, position) => {
    const button = make("button");
    button.type = "button";
    button.append(picture(row, ""));
    const says = make("span", undefined, "says");
    says.append(make("strong", row.galaxy), make("br"));
    const verdict = `${row.right ? "✓" : "✗"} ${data.words[row.predicted]} ${percent(row.confidence)}`;
    says.append(make("span", verdict, row.right ? "right" : "wrong"));
    if (!row.right) says.append(make("br"), `volunteers: ${data.words[row.label]}`);
    button.append(says);
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
    found = data.rows.filter(matches).sort(orders[at("sort").value]);
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
    const near = (row.near || []).map((name) => byName.get(name)).filter(Boolean);
    if (!near.length) return [];
    const list = make("ul", undefined, "near");
    near.forEach((other) => {
      const button = make("button");
      button.type = "button";
      button.append(picture(other, ""), make("span", data.words[other.predicted], other.right ? "right" : "wrong"));
      button.setAttribute("aria-label",
        `Galaxy ${other.galaxy}, model: ${data.words[other.predicted]}, ${other.right ? "right" : "wrong"}`);
      button.addEventListener("click", () => {
        if (!found.includes(other)) { reset(); update(); }
        show(found.indexOf(other));
      });
      const item = make("li");
      item.append(button);
      list.append(item);
    });
    return [make("h4", "Most alike to the network"), list];
  };
  const told = (row) => {
    const parts = [make("p", row.right ? "✓ The model agrees with the volunteers."
      : `✗ Volunteers: ${data.words[row.label]}; model: ${data.words[row.predicted]}.`,
      row.right ? "right" : "wrong")];
    const epistemic = row.epistemic === undefined ? "" : `, ${row.epistemic.toFixed(2)} of it epistemic`;
    parts.push(make("p", `Doubt: ${row.doubt.toFixed(2)} nats${epistemic}.`));
    if (row.set !== undefined) parts.push(make("p", `Prediction set: ${row.set}.`));
    const heads = data.soft ? ["model", "volunteers"] : ["model"];
    if (data.tree) {
      parts.push(table("The likeliest walk down the tree, shares of those asked",
        ["question", "answer", ...heads],
        row.walk.map(([asks, says, model, votes]) => [[asks, says], [model, votes]])));
    } else {
      const rows = data.names.map((name, n) => [[data.words[name]], row.shares[n].slice(0, heads.length)]);
      rows.sort((a, b) => b[1][0] - a[1][0]);
      const caption = data.soft ? "Shares of votes"
        : `Probabilities; volunteers: ${data.words[row.label]}`;
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
    if (row.map && at("heat").checked) seen.append(heat(row.map));
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
  filters.forEach((id) => at(id).addEventListener("input", update));
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
