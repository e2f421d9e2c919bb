"use strict";
const make = (tag, text, kind) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (kind) element.className = kind;
  return element;
};
// Evidence as heat to be laid over an image: the more of it, the less of the image.
const heatOf = (shares) => {
  const canvas = document.createElement("canvas");
  canvas.className = "heat";
  canvas.width = canvas.height = Math.sqrt(shares.length);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Map of the evidence for the model's answer");
  const context = canvas.getContext("2d");
  const drawn = context.createImageData(canvas.width, canvas.height);
  shares.forEach((share, n) => {
    drawn.data.set([255, Math.round(70 + 150 * share), 40, Math.round(190 * share)], 4 * n);
  });
  context.putImageData(drawn, 0, 0);
  return canvas;
};
