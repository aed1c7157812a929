// A network as circles and lines; nodes and edges can be chosen by mouse and by keyboard.
import { fmt, s } from "./dom.js";

const MOST_EDGE_LABELS = 9;

function biggest(values) {
  return Math.max(...values.map(Math.abs), 1e-300);
}

// shown: { nodes(l, k) -> {text, value, q, below}, edges(l, k, j) -> {value, text, q} | null,
//          lit(l, k, j), litNode(l, k), chosen, choose(l, k, j), title }
export function diagram(width, sizes, shown) {
  const layers = sizes.length;
  const most = Math.max(...sizes);
  const radius = Math.max(13, Math.min(30, 0.26 * width / layers, 150 / most));
  const gap = Math.max(2 * radius + 12, Math.min(110, 420 / most));
  const height = Math.max(most * gap + 26, 130);
  const margin = radius + 8;
  const x = (l) => margin + (l * (width - 2 * margin)) / (layers - 1);
  const y = (l, k) => height / 2 - 6 + (k - (sizes[l] - 1) / 2) * gap;
  const font = Math.max(10, Math.min(14, radius * 0.5));
  const picture = s("svg", { class: "net", width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": shown.title });
  const total = sizes.slice(1).reduce((sum, n, i) => sum + n * sizes[i], 0);

  for (let l = 1; l < layers; l += 1) {
    const all = [];
    for (let k = 0; k < sizes[l]; k += 1) {
      for (let j = 0; j < sizes[l - 1]; j += 1) all.push([k, j, shown.edges(l, k, j)]);
    }
    const top = biggest(all.map(([, , one]) => one?.value ?? 0));
    const isLabelled = all.length <= MOST_EDGE_LABELS && width / layers > 105;
    for (const [k, j, one] of all) {
      const lit = shown.lit?.(l, k, j);
      const share = Math.abs(one?.value ?? 0) / top;
      const [x1, y1, x2, y2] = [x(l - 1), y(l - 1, j), x(l), y(l, k)];
      const long = Math.hypot(x2 - x1, y2 - y1);
      const [ux, uy] = [(x2 - x1) / long, (y2 - y1) / long];
      const ends = { x1: x1 + ux * radius, y1: y1 + uy * radius, x2: x2 - ux * (radius + 1), y2: y2 - uy * (radius + 1) };
      const sign = (one?.value ?? 0) < 0 ? "minus" : "plus";
      const group = s("g", {
        class: `edge ${sign}${lit ? " lit" : ""}${shown.chosen?.(l, k, j) ? " chosen" : ""}`,
        ...(shown.choose && total <= 80 ? {
          role: "button", tabindex: "0",
          "aria-label": `edge from node ${j} of layer ${l - 1} to node ${k} of layer ${l}: ${one?.label ?? ""}`,
        } : {}),
        data: { edge: `${l},${k},${j}` },
        onclick: () => shown.choose?.(l, k, j),
        onkeydown: (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); shown.choose?.(l, k, j); }
        },
      },
      s("line", { ...ends, class: "hit" }),
      s("line", { ...ends, class: "wire", "stroke-width": (0.8 + 3.2 * share).toFixed(2), "stroke-dasharray": sign === "minus" ? "7 4" : null }),
      arrow(ends, shown.isBack, ux, uy));
      if (isLabelled && one?.text) {
        // Just beyond the emitting node, where edges have not met yet.
        const at = Math.min(0.42, (radius + 26) / long + (sizes[l] > 2 ? 0.04 * (j % 2) : 0.06));
        group.append(s("text", { x: x1 + at * (x2 - x1), y: y1 + at * (y2 - y1) + 4, class: `value ${one.mark}`, "text-anchor": "middle", "font-size": Math.max(10, font - 2), data: { q: one.q, l, k, j } }, one.text));
      }
      picture.append(group);
    }
  }
  for (let l = 0; l < layers; l += 1) {
    const all = sizes.slice(l, l + 1).flatMap((n) => Array.from({ length: n }, (_, k) => shown.nodes(l, k)));
    const top = biggest(all.map((one) => one.value ?? 0));
    all.forEach((one, k) => {
      const share = one.value === null ? 0 : (one.value ?? 0) / top;
      const group = s("g", {
        class: `node ${share < 0 ? "minus" : "plus"}${shown.litNode?.(l, k) ? " lit" : ""}${shown.chosen?.(l, k) ? " chosen" : ""}`,
        transform: `translate(${x(l)} ${y(l, k)})`,
        ...(shown.choose ? { role: "button", tabindex: "0", "aria-label": `node ${k} of layer ${l}: ${one.label}` } : {}),
        data: { node: `${l},${k}` },
        onclick: () => shown.choose?.(l, k),
        onkeydown: (event) => {
          if (event.key === "Enter" || event.key === " ") { event.preventDefault(); shown.choose?.(l, k); }
        },
      },
      s("circle", { r: radius, class: "paper" }),
      s("circle", { r: radius, class: "fill", "fill-opacity": (0.1 + 0.45 * Math.abs(share)).toFixed(3) }),
      s("circle", { r: radius, class: "rim" }),
      s("text", { class: "inside", "text-anchor": "middle", y: font * 0.35, "font-size": Math.min(font, 1.75 * radius / Math.max(one.text.length, 3) * 1.7), data: one.q ? { q: one.q, l, k } : {} }, one.text));
      if (one.below && gap > 2 * radius + 11) {
        group.append(s("text", { class: `below ${one.belowMark ?? ""}`, "text-anchor": "middle", y: radius + font, "font-size": Math.max(9.5, font - 3), data: { q: one.belowQ, l, k } }, one.below));
      }
      picture.append(group);
    });
  }
  return picture;
}

function arrow({ x1, y1, x2, y2 }, isBack, ux, uy) {
  const [tip, way] = isBack ? [[x1, y1], -1] : [[x2, y2], 1];
  const at = (back, side) => `${(tip[0] - way * ux * back - uy * side).toFixed(1)} ${(tip[1] - way * uy * back + ux * side).toFixed(1)}`;
  return s("path", { class: "head", d: `M${at(0, 0)} L${at(8, 3.4)} L${at(8, -3.4)} Z` });
}

// What the nodes and edges of a trace are, forward and back.
export function ofTrace(trace, digits, isBack) {
  const L = trace.sizes.length - 1;
  const told = (v) => fmt(v, digits);
  return {
    isBack,
    nodes: (l, k) => {
      const value = isBack ? trace.delta[l][k] : trace.a[l][k];
      const z = l > 0 ? `z ${told(trace.z[l][k])}, ` : "";
      return {
        value, text: told(value), q: isBack ? "delta" : "a",
        label: `${z}a ${told(trace.a[l][k])}, ${l > 0 ? "delta" : "dC/dx"} ${told(trace.delta[l][k])}`,
        below: isBack || l === 0 ? (l === L ? "" : "") : `z ${told(trace.z[l][k])}`,
        belowMark: "z", belowQ: "z",
      };
    },
    edges: (l, k, j) => {
      const value = isBack ? trace.dW[l][k][j] : trace.W[l - 1][k][j];
      return { value, text: told(value), q: isBack ? "dW" : "W", mark: isBack ? "dW" : "W",
        label: `W ${told(trace.W[l - 1][k][j])}, dC/dW ${told(trace.dW[l][k][j])}` };
    },
  };
}
